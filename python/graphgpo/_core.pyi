"""The native core. Private: use the functions of graphgpo."""

from typing import Any, final

import numpy as np
from numpy.typing import NDArray

__version__: str

@final
class KeyColumn:
    """A column of states or ids in canonical form. Opaque."""

    def __init__(self, *args: Any, **kwargs: Any) -> None: ...
    def __len__(self) -> int: ...
    @property
    def is_rows(self) -> bool: ...
    @property
    def is_numbered(self) -> bool: ...
    @property
    def has_integers_only(self) -> bool: ...
    @property
    def has_text_only(self) -> bool: ...
    @property
    def lacks_arrays(self) -> bool: ...
    def with_arrays_apart(self) -> KeyColumn: ...

@final
class Options:
    """The options of calls, in the words of GraphGPOConfig. Opaque."""

    def __init__(
        self,
        *,
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
    ) -> None: ...

def stable_keys(*, column: KeyColumn, name: str) -> NDArray[np.int64]: ...
def nullable_stable_keys(*, column: KeyColumn) -> tuple[NDArray[np.int64], NDArray[np.bool_]]: ...
def stable_key_of_object(*, state: Any) -> int: ...
def array_of_tensor(*, tensor: Any, name: str) -> NDArray[Any]: ...
def keys_from_objects(
    *,
    values: list[Any] | tuple[Any, ...],
    mask: NDArray[np.bool_] | None,
    name: str,
    is_id: bool,
    in_place: bool,
    states: KeyColumn | None,
) -> KeyColumn: ...
def number_objects(
    *,
    states: list[Any] | tuple[Any, ...],
    next_states: list[Any] | tuple[Any, ...] | None,
    group_ids: KeyColumn,
    mask: NDArray[np.bool_] | None,
    num_threads: int,
) -> tuple[KeyColumn, KeyColumn | None] | None: ...
def reals_from_objects(
    *, values: list[Any] | tuple[Any, ...], mask: NDArray[np.bool_] | None, name: str
) -> NDArray[np.float64]: ...
def integers_from_objects(
    *, values: list[Any] | tuple[Any, ...], mask: NDArray[np.bool_] | None, name: str
) -> NDArray[np.int64]: ...
def flags_from_objects(
    *, values: list[Any] | tuple[Any, ...], mask: NDArray[np.bool_] | None, name: str
) -> NDArray[np.bool_]: ...
def keys_from_rows(
    *, values: NDArray[Any], mask: NDArray[np.bool_] | None, name: str
) -> KeyColumn: ...
def keys_from_reals(
    *, values: NDArray[np.float64], mask: NDArray[np.bool_] | None, name: str
) -> KeyColumn: ...
def keys_from_flags(*, values: NDArray[np.bool_]) -> KeyColumn: ...
def keys_from_fixed_text(*, values: NDArray[np.str_], in_place: bool) -> KeyColumn: ...
def keys_from_fixed_bytes(*, values: NDArray[np.bytes_]) -> KeyColumn: ...
def keys_from_integers(*, values: NDArray[np.int64]) -> KeyColumn: ...
def keys_from_arrow(
    *, values: Any, mask: NDArray[np.bool_] | None, name: str, is_id: bool
) -> KeyColumn: ...
def reals_from_arrow(
    *, values: Any, mask: NDArray[np.bool_] | None, name: str
) -> NDArray[np.float64]: ...
def integers_from_arrow(
    *, values: Any, mask: NDArray[np.bool_] | None, name: str
) -> NDArray[np.int64]: ...
def flags_from_arrow(
    *, values: Any, mask: NDArray[np.bool_] | None, name: str
) -> NDArray[np.bool_]: ...
def compute_advantages(
    *,
    states: KeyColumn,
    next_states: KeyColumn | None,
    group_ids: KeyColumn,
    trajectory_ids: KeyColumn,
    success: NDArray[np.bool_] | None,
    step_ids: NDArray[np.int64] | None,
    rewards: NDArray[np.float64] | None,
    episode_returns: NDArray[np.float64] | None,
    edge_costs: NDArray[np.float64] | None,
    action_valid: NDArray[np.bool_] | None,
    mask: NDArray[np.bool_] | None,
    options: Options,
    num_threads: int,
) -> dict[str, Any]: ...
def build_graph(
    *,
    states: KeyColumn,
    next_states: KeyColumn | None,
    group_ids: KeyColumn,
    trajectory_ids: KeyColumn,
    success: NDArray[np.bool_] | None,
    step_ids: NDArray[np.int64] | None,
    rewards: NDArray[np.float64] | None,
    episode_returns: NDArray[np.float64] | None,
    edge_costs: NDArray[np.float64] | None,
    action_valid: NDArray[np.bool_] | None,
    mask: NDArray[np.bool_] | None,
    num_threads: int,
) -> dict[str, Any]: ...
def normalise_texts(
    *,
    texts: list[str],
    urls: bool,
    timestamps: bool,
    uuids: bool,
    hex: bool,
    numbers: bool,
    whitespace: bool,
    kept: list[list[tuple[int, int]]] | None,
) -> list[str]: ...
def texts_of_column(*, column: KeyColumn) -> list[str | None] | None: ...
def similar_components(
    *, texts: list[str], groups: NDArray[np.int32], threshold: float
) -> tuple[NDArray[np.int32], int, int]: ...
