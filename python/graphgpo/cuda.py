"""The method on a GPU, for integer keys that already lie in its memory.

Columns come in, and credit goes out, by DLPack or `__cuda_array_interface__`: torch, CuPy, JAX and
Numba arrays work, and none of these is imported. The native part is built on request only
(`docs/cuda.md`) and loaded by the first call that needs it; `status()` says whether it can be used.
"""

from __future__ import annotations

import contextlib
import importlib
import math
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, final

import numpy as np
from numpy.typing import DTypeLike, NDArray

from graphgpo.config import GraphGPOConfig, core_options, resolved_config
from graphgpo.ingest import MAX_ROWS, REQUIRED, _is_tensor, check_lengths, too_many_rows
from graphgpo.result import Credit

if TYPE_CHECKING:
    from graphgpo import _cuda

__all__ = [
    "DeviceAdvantages",
    "DeviceArray",
    "DeviceError",
    "Status",
    "compute_advantages",
    "is_available",
    "state_keys",
    "status",
]

ScalarT = TypeVar("ScalarT", bound=np.generic)

StatusName = Literal[
    "ok",
    "not_built",
    "driver_missing",
    "no_device",
    "unsupported_architecture",
    "out_of_memory",
    "failed",
]

_NOT_BUILT = (
    "graphgpo was built without CUDA: build it with `pip install . -C "
    "cmake.define.GRAPHGPO_CUDA=ON`, or call .cpu() on the tensors"
)
_MEANINGS = {
    "driver_missing": "no NVIDIA driver, or one older than the CUDA that graphgpo was built with",
    "no_device": "no such GPU, or a hidden one",
    "unsupported_architecture": "graphgpo was built for other GPUs than this one",
    "out_of_memory": "the GPU has not enough memory left",
    "failed": "CUDA failed",
}
_ALIGNMENT = 256  # of every result column, as DLPack asks for
_DLPACK_DEVICES = {1: "cpu", 2: "cuda", 3: "cuda_host", 10: "rocm", 13: "cuda_managed"}


@dataclass(frozen=True, slots=True)
class Status:
    """Whether a GPU can be used."""

    name: StatusName
    """What kind of reason it is."""

    reason: str
    """The reason, for people."""

    def __str__(self) -> str:
        return self.reason


class DeviceError(RuntimeError):
    """Something is wrong with the device, or there is none; not with the input."""

    def __init__(self, status: Status) -> None:
        super().__init__(status)
        self.status = status


def status(device: int = 0) -> Status:
    """Whether GPU number `device` can be used, and if not, why. Runs nothing on it.

    >>> status().name in ("ok", "not_built", "driver_missing", "no_device")
    True
    """
    try:
        return _status(*_extension().status(device=device))
    except DeviceError as error:
        return error.status


def is_available(device: int = 0) -> bool:
    """Whether GPU number `device` can be used; `status` says why not."""
    return status(device).name == "ok"


@final
class DeviceArray(Generic[ScalarT]):
    """A C-contiguous array in the memory of a device, made by this module.

    Other libraries view it in place: `torch.from_dlpack(array)`, `cupy.asarray(array)`; the memory
    lives as long as any view. It is complete: no stream has to wait for it. `array.to_numpy()` and
    `np.asarray(array)` copy it to the host.
    """

    __slots__ = ("__weakref__", "_memory", "_offset", "dtype", "shape")

    dtype: np.dtype[ScalarT]
    shape: tuple[int, ...]

    def __init__(
        self, memory: _cuda.Memory, offset: int, shape: tuple[int, ...], dtype: type[ScalarT]
    ) -> None:
        self._memory = memory
        self._offset = offset
        self.shape = shape
        self.dtype = np.dtype(dtype)

    @property
    def device(self) -> str:
        """Where the array is, as torch names it: "cuda:0"."""
        return _device_name(self.__dlpack_device__())

    @property
    def pointer(self) -> int:
        """Address of the first value."""
        return self._memory.pointer + self._offset

    def to_numpy(self) -> NDArray[ScalarT]:
        """A copy on the host."""
        values = np.empty(self.shape, self.dtype)
        with _device_errors():
            self._memory.read(offset=self._offset, to=values)
        return values

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("a DeviceArray is not on the host; expected copy=None or copy=True")
        return self.to_numpy().astype(self.dtype if dtype is None else dtype, copy=False)

    def __dlpack__(
        self,
        *,
        stream: object = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> object:
        # `stream` has nothing to wait for.
        if copy or dl_device not in (None, self.__dlpack_device__()):
            raise BufferError(f"a DeviceArray is handed over without a copy, on {self.device} only")
        return _extension().to_dlpack(
            pointer=self.pointer,
            dtype=self.dtype.name,
            shape=self.shape,
            device=self._memory.device,
            versioned=max_version is not None and max_version >= (1, 0),
            owner=self._memory,
        )

    def __dlpack_device__(self) -> tuple[int, int]:
        return _extension().DEVICE_TYPE, self._memory.device

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.pointer, False),
            "strides": None,
            "stream": None,
            "version": 3,
        }

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"DeviceArray(shape={self.shape}, dtype={self.dtype}, device={self.device!r})"


@dataclass(frozen=True, slots=True, eq=False)
class DeviceAdvantages(
    Credit[DeviceArray[np.float32], DeviceArray[np.float64], DeviceArray[np.int64]]
):
    """`graphgpo.StepAdvantages` on a device: (N,) arrays there, and the metrics on the host."""


def compute_advantages(
    state_keys: Any,
    next_state_keys: Any = None,
    *,
    next_state_known: Any = None,
    group_ids: Any,
    trajectory_ids: Any,
    success: Any,
    step_ids: Any = None,
    rewards: Any = None,
    episode_returns: Any = None,
    edge_costs: Any = None,
    action_valid: Any = None,
    mask: Any = None,
    config: GraphGPOConfig | Mapping[str, Any] | None = None,
    stream: Any = None,
    **options: Any,
) -> DeviceAdvantages:
    """`graphgpo.compute_advantages` on the GPU that holds the columns, without copies to the host.

    Every integer of the result is that of the CPU call, ids are numbered as there, and floats are
    within 1e-6 of its. When the call returns, the results are complete.

    Parameters
    ----------
    state_keys, next_state_keys
        (N,) integer key of the state before and after each step: any numbering of the states, or
        what `state_keys` makes of their rows.
    next_state_known
        (N,) bool; False: the next state is not known, whatever its key (None in the CPU call's
        columns). Allowed on a trajectory's last step. Without it all are known.
    group_ids, trajectory_ids, success, step_ids, ..., mask
        (N,), as in the CPU call. Ids are integers of any type; bools may be numbers that are
        exactly 0 or 1; all else is numbers of any type, float16 and bfloat16 included. Columns may
        be strided. What is not int64, float64 or bool is widened on the device.
    config, **options
        As in the CPU call.
    stream
        Where to work: a stream of torch, CuPy or anything with `__cuda_stream__`, or the address
        of a `cudaStream_t`. None: torch's current stream where `state_keys` is a torch tensor, else
        the legacy default stream. Columns are waited for on it, as DLPack has it. The call waits
        for this stream and for no other. It must live as long as the results.

    Raises
    ------
    TypeError, ValueError
        What the CPU call raises, and for columns that are not all on one GPU.
    DeviceError
        Without a build with CUDA, a driver, a GPU, or enough of its memory.

    >>> if is_available():
    ...     import torch
    ...
    ...     keys = torch.tensor([1, 2, 1], device="cuda")
    ...     zeros = torch.zeros_like(keys)
    ...     won = torch.tensor([True, True, False], device="cuda")
    ...     rollouts = torch.tensor([0, 0, 1], device="cuda")
    ...     result = compute_advantages(
    ...         keys, group_ids=zeros, trajectory_ids=rollouts, success=won
    ...     )
    ...     advantages = torch.from_dlpack(result.advantages)
    """
    try:
        return credit(
            state_keys,
            next_state_keys,
            next_state_known=next_state_known,
            group_ids=group_ids,
            trajectory_ids=trajectory_ids,
            success=success,
            step_ids=step_ids,
            rewards=rewards,
            episode_returns=episode_returns,
            edge_costs=edge_costs,
            action_valid=action_valid,
            mask=mask,
            config=config,
            stream=stream,
            **options,
        )
    except (TypeError, ValueError) as error:
        # Written for the arguments of graphgpo.compute_advantages.
        error.args = (re.sub(r"\b(next_)?states\b", r"\1state_keys", str(error)),)
        raise


def credit(
    states: Any,
    next_states: Any,
    *,
    next_state_known: Any = None,
    group_ids: Any,
    trajectory_ids: Any,
    success: Any,
    step_ids: Any,
    rewards: Any,
    episode_returns: Any,
    edge_costs: Any,
    action_valid: Any,
    mask: Any,
    config: GraphGPOConfig | Mapping[str, Any] | None,
    stream: Any = None,
    **options: Any,
) -> DeviceAdvantages:
    """`compute_advantages` under the argument names of `graphgpo.compute_advantages`."""
    fields = core_options(resolved_config(config, options))
    given = {
        "states": states,
        "next_states": next_states,
        "next_state_known": next_state_known,
        "group_ids": group_ids,
        "trajectory_ids": trajectory_ids,
        "success": success,
        "step_ids": step_ids,
        "rewards": rewards,
        "episode_returns": episode_returns,
        "edge_costs": edge_costs,
        "action_valid": action_valid,
        "mask": mask,
    }
    given = {name: x for name, x in given.items() if x is not None or name in REQUIRED}
    if "next_state_known" in given and "next_states" not in given:
        raise ValueError("next_state_known is given without next_states; expected both, or neither")

    extension = _extension()
    with _device_errors():
        queue = _queue(given, stream)
        views = {name: _view(name, values, queue) for name, values in given.items()}
        _check_columns(views)
        num_rows = len(views["states"])
        results = _allocate(
            num_rows,
            {
                "edge_returns": np.float64,
                "distances": np.float64,
                "next_distances": np.float64,
                "state_ids": np.int64,
                "next_state_ids": np.int64,
                "advantages": np.float32,
                "step_advantages": np.float32,
                "episode_advantages": np.float32,
            },
            queue,
        )
        columns = {name: views[name].column() if name in views else None for name in _COLUMNS}
        report = extension.compute_advantages(
            num_rows=num_rows,
            state_keys=columns.pop("states"),
            next_state_keys=columns.pop("next_states"),
            **columns,
            **fields,
            **{name: array.pointer for name, array in results.items()},
            device=queue.device,
            stream=queue.stream,
        )
    return DeviceAdvantages(**results, metrics=report["metrics"])


def state_keys(states: Any, *, stream: Any = None) -> DeviceArray[np.int64]:
    """The `graphgpo.state_key` of every row of a numeric (N, ...) array on a GPU, made there.

    Rows are of bool, int, uint or float of at most 64 bits (not bfloat16, which NumPy lacks), in C
    order. Returns (N,) int64, bit for bit what `graphgpo.state_keys` gives for the same array on
    the host. `stream` as in `compute_advantages`, and so are the errors; a NaN is a `ValueError`.

    >>> if is_available():
    ...     import torch
    ...
    ...     boards = torch.zeros(2, 8, 8, dtype=torch.int8, device="cuda")
    ...     keys = state_keys(boards)
    """
    extension = _extension()
    with _device_errors():
        queue = _queue({"states": states}, stream)
        view = _view("states", states, queue)
        if len(view.shape) < 2:
            raise ValueError(
                f"states has shape {view.shape}; expected (N, ...), a state per row: integers are "
                "keys as they are"
            )
        if len(view) > MAX_ROWS:
            raise too_many_rows("states", len(view))
        if view.dtype not in _NUMBERS - {"bfloat16"}:
            raise TypeError(
                f"states is an array of dtype {view.dtype}; expected rows of bool, int, uint or "
                "float of at most 64 bits"
            )
        if not view.is_c_contiguous():
            raise ValueError("states is not C-contiguous; expected rows in C order: copy it")
        keys = _allocate(len(view), {"keys": np.int64}, queue)["keys"]
        if len(view) > 0:
            extension.state_keys(
                pointer=view.pointer,
                dtype=view.dtype,
                num_rows=len(view),
                row_shape=view.shape[1:],
                keys=keys.pointer,
                device=queue.device,
                stream=queue.stream,
            )
    return keys


def is_device_array(values: object) -> bool:
    """Whether `values` is an array in the memory of a GPU, found out without importing anything."""
    if isinstance(values, (list, tuple, np.ndarray)):
        return False
    return _is_cuda_tensor(values) or hasattr(values, "__cuda_array_interface__")


def _is_cuda_tensor(values: Any) -> bool:
    return _is_tensor(values) and values.device.type == "cuda"


def _extension() -> Any:
    """The native module, loaded at its first use. What it holds: `_cuda.pyi`."""
    try:
        return importlib.import_module("graphgpo._cuda")
    except ModuleNotFoundError as error:
        if error.name != "graphgpo._cuda":
            raise
        raise DeviceError(Status("not_built", _NOT_BUILT)) from None
    except ImportError as error:
        raise DeviceError(Status("failed", f"graphgpo._cuda cannot be loaded: {error}")) from error


@contextlib.contextmanager
def _device_errors() -> Iterator[None]:
    """What the native module raises about the device, as the error users know."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, _extension().DeviceError):
            raise
        raise DeviceError(_status(*error.args)) from None


def _status(name: StatusName, reason: str) -> Status:
    """What the native module reports, with the meaning of its name."""
    return Status(name, f"{_MEANINGS[name]} ({reason})" if name in _MEANINGS else reason)


@dataclass(frozen=True, slots=True)
class _Queue:
    device: int
    stream: int
    keeps: object
    """What the stream lives by."""


@dataclass(frozen=True, slots=True)
class _View:
    """Somebody else's array in device memory, for as long as this lives."""

    pointer: int
    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # in elements
    owner: object

    def __len__(self) -> int:
        return self.shape[0]

    def column(self) -> tuple[int, str, int]:
        """As the native module takes it."""
        if len(self) == 0:  # of any type: there is nothing to misread
            return 0, "int64", 1
        return self.pointer, self.dtype, self.strides[0]

    def is_c_contiguous(self) -> bool:
        strides = zip(self.shape, self.strides, _compact_strides(self.shape), strict=True)
        return math.prod(self.shape) == 0 or all(n == 1 or s == c for n, s, c in strides)


_INTEGERS = {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
_NUMBERS = _INTEGERS | {"bool", "float16", "bfloat16", "float32", "float64"}
_KEYS = "ints (graphgpo.cuda.state_keys makes keys of rows)"
#                    types that are taken, and how messages name them
_COLUMNS: dict[str, tuple[set[str], str]] = {
    "states": (_INTEGERS, _KEYS),
    "next_states": (_INTEGERS, _KEYS),
    "next_state_known": (_NUMBERS, "bools"),
    "group_ids": (_INTEGERS, "ints"),
    "trajectory_ids": (_INTEGERS, "ints"),
    "success": (_NUMBERS, "bools"),
    "step_ids": (_INTEGERS, "ints"),
    "rewards": (_NUMBERS, "numbers"),
    "episode_returns": (_NUMBERS, "numbers"),
    "edge_costs": (_NUMBERS, "numbers"),
    "action_valid": (_NUMBERS, "bools"),
    "mask": (_NUMBERS, "bools"),
}


def _check_columns(views: dict[str, _View]) -> None:
    check_lengths(views)
    for name, view in views.items():
        dtypes, expected = _COLUMNS[name]
        is_key = expected is _KEYS
        if len(view.shape) != 1 and not (is_key and len(view) == 0):
            hint = ": graphgpo.cuda.state_keys makes keys of rows" if is_key else ""
            raise ValueError(
                f"{name} has shape {view.shape}; expected (N,), one value per step{hint}"
            )
        if view.dtype not in dtypes and len(view) > 0:
            raise TypeError(f"{name} is an array of dtype {view.dtype}; expected {expected}")


def _allocate(
    num_rows: int, dtypes: Mapping[str, type[np.generic]], queue: _Queue
) -> dict[str, DeviceArray[Any]]:
    """(N,) arrays by name, in one piece of memory."""
    offsets = {}
    end = 0
    for name, dtype in dtypes.items():
        offsets[name] = end
        end += -(-num_rows * np.dtype(dtype).itemsize // _ALIGNMENT) * _ALIGNMENT
    memory = _extension().Memory(
        bytes=end, device=queue.device, stream=queue.stream, keeps=queue.keeps
    )
    return {
        name: DeviceArray(memory, offsets[name], (num_rows,), dtype)
        for name, dtype in dtypes.items()
    }


def _queue(given: Mapping[str, Any], stream: Any) -> _Queue:
    """Where to work: the device that all columns are on, and a stream of it."""
    devices = {name: _dlpack_device(name, values) for name, values in given.items()}
    (first, place), *others = devices.items()
    if place[0] != _extension().DEVICE_TYPE:
        raise ValueError(
            f"{first} is on {_device_name(place)}; expected a CUDA device: arrays on the host are "
            f"for graphgpo.compute_advantages and graphgpo.state_keys"
        )
    for name, other in others:
        if other != place:
            raise ValueError(
                f"{name} is on {_device_name(other)}; expected {_device_name(place)}, the device "
                f"of {first}"
            )
    if stream is None and _is_cuda_tensor(given[first]):
        stream = sys.modules["torch"].cuda.current_stream(given[first].device)
    return _Queue(device=place[1], stream=0 if stream is None else _handle(stream), keeps=stream)


def _handle(stream: Any) -> int:
    if hasattr(stream, "__cuda_stream__"):
        return int(stream.__cuda_stream__()[1])
    for attribute in ("cuda_stream", "ptr"):  # of torch, of CuPy
        if hasattr(stream, attribute):
            return int(getattr(stream, attribute))
    if isinstance(stream, int) and not isinstance(stream, bool) and stream >= 0:
        return stream
    raise TypeError(
        f"stream is {stream!r} ({type(stream).__name__}); expected a CUDA stream: torch's, CuPy's, "
        "or its address"
    )


def _dlpack_device(name: str, values: Any) -> tuple[int, int]:
    """Type and number of a device, in DLPack's numbers."""
    if hasattr(values, "__dlpack_device__"):
        kind, index = values.__dlpack_device__()
        return int(kind), int(index)
    if hasattr(values, "__cuda_array_interface__"):
        extension = _extension()
        pointer = values.__cuda_array_interface__["data"][0]
        # Where nothing lies matters little.
        return extension.DEVICE_TYPE, extension.device_of(pointer=pointer) if pointer else 0
    raise TypeError(
        f"{name} is a {type(values).__name__}; expected an array on a GPU, one value per step: a "
        "torch CUDA tensor, or anything with DLPack or __cuda_array_interface__"
    )


def _device_name(device: tuple[int, int]) -> str:
    kind, index = device
    name = _DLPACK_DEVICES.get(kind, f"DLPack's device type {kind}")
    return name if name == "cpu" else f"{name}:{index}"


def _view(name: str, values: Any, queue: _Queue) -> _View:
    view = _view_by_dlpack if hasattr(values, "__dlpack__") else _view_by_interface
    viewed = view(name, values, queue)
    if len(viewed.shape) == 0:
        raise TypeError(f"{name} is a 0-d array; expected a column, one value per step")
    return viewed


def _view_by_dlpack(name: str, values: Any, queue: _Queue) -> _View:
    extension = _extension()
    if _is_tensor(values):
        values = values.detach()
    # DLPack's numbers of streams: 1 is the legacy default stream, and a CPU has none.
    stream = None if extension.DEVICE_TYPE == 1 else queue.stream or 1
    try:
        try:
            capsule = values.__dlpack__(stream=stream, max_version=(1, 0))
        except TypeError:  # older than DLPack 1
            capsule = values.__dlpack__(stream=stream)
        view = extension.TensorView(capsule=capsule)
    except (BufferError, ValueError) as error:  # sparse, conjugated, on another device, ...
        raise TypeError(f"{name} cannot be read by DLPack: {error}") from error
    strides = _compact_strides(view.shape) if view.strides is None else view.strides
    return _View(view.pointer, view.dtype, view.shape, strides, view)


def _view_by_interface(name: str, values: Any, queue: _Queue) -> _View:
    interface = values.__cuda_array_interface__
    if interface.get("mask") is not None:
        raise TypeError(f"{name} is a masked array; expected a plain one, and `mask` for rows")
    dtype = np.dtype(interface["typestr"])
    shape = tuple(interface["shape"])
    strides = _compact_strides(shape)
    if interface.get("strides") is not None:
        strides = tuple(stride // dtype.itemsize for stride in interface["strides"])
        if any(stride % dtype.itemsize for stride in interface["strides"]):
            raise ValueError(
                f"{name} has strides of {interface['strides']} bytes; expected multiples of "
                f"{dtype.itemsize}, the size of a value"
            )
    if interface.get("stream") is not None:
        _extension().wait(device=queue.device, stream=interface["stream"])
    dtype_name = dtype.name if dtype.isnative else dtype.str
    return _View(interface["data"][0], dtype_name, shape, strides, values)


def _compact_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
