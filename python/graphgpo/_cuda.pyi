"""The method on a device. Private: use the functions of graphgpo.cuda."""

from typing import Any, final

from numpy.typing import NDArray

DEVICE_TYPE: int

class DeviceError(RuntimeError): ...

@final
class Memory:
    """Device memory, given back with the object."""

    def __init__(self, *, bytes: int, device: int, stream: int, keeps: object) -> None: ...
    @property
    def pointer(self) -> int: ...
    @property
    def device(self) -> int: ...
    def read(self, *, offset: int, to: NDArray[Any]) -> None: ...
    def write(self, *, offset: int, array: NDArray[Any]) -> None: ...

@final
class TensorView:
    """A tensor out of a DLPack capsule."""

    def __init__(self, *, capsule: object) -> None: ...
    @property
    def pointer(self) -> int: ...
    @property
    def dtype(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def strides(self) -> tuple[int, ...] | None: ...
    @property
    def device(self) -> tuple[int, int]: ...

def status(*, device: int) -> tuple[str, str]: ...
def device_of(*, pointer: int) -> int: ...
def wait(*, device: int, stream: int) -> None: ...
def to_dlpack(
    *,
    pointer: int,
    dtype: str,
    shape: tuple[int, ...],
    device: int,
    versioned: bool,
    owner: object,
) -> object: ...
def compute_advantages(
    *,
    num_rows: int,
    state_keys: tuple[int, str, int] | None,
    next_state_keys: tuple[int, str, int] | None,
    next_state_known: tuple[int, str, int] | None,
    group_ids: tuple[int, str, int] | None,
    trajectory_ids: tuple[int, str, int] | None,
    success: tuple[int, str, int] | None,
    step_ids: tuple[int, str, int] | None,
    rewards: tuple[int, str, int] | None,
    episode_returns: tuple[int, str, int] | None,
    edge_costs: tuple[int, str, int] | None,
    action_valid: tuple[int, str, int] | None,
    mask: tuple[int, str, int] | None,
    estimator: str,
    omega: float,
    success_reward: float,
    exponent: str,
    normalization: str,
    epsilon: float,
    epsilon_scale: str,
    step_weight: float,
    episode_weight: float,
    episode_weighting: str,
    invalid_action_penalty: float,
    gamma: float,
    advantages: int,
    step_advantages: int,
    episode_advantages: int,
    edge_returns: int,
    distances: int,
    next_distances: int,
    state_ids: int,
    next_state_ids: int,
    device: int,
    stream: int,
) -> dict[str, Any]: ...
def state_keys(
    *,
    pointer: int,
    dtype: str,
    num_rows: int,
    row_shape: tuple[int, ...],
    keys: int,
    device: int,
    stream: int,
) -> None: ...
