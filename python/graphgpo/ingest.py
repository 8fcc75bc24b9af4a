"""The caller's columns, of whatever kind, to the columns of the core.

States and ids become a `KeyColumn`, one canonical key per row; numbers become C-contiguous float64,
int64 or bool arrays. Masked rows are not looked at. What must hold between rows is the core's to
check.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from graphgpo import _core
from graphgpo.columns import COLUMNS, Kind, of_kind

MAX_ROWS = 2**31 - 2

IN_HOST_MEMORY = (np.ndarray, list, tuple, type(None))
"""Types of what most columns are, of which nothing needs to be asked where they are."""

STATES = of_kind("state")
IDS = of_kind("id")
_KINDS: dict[str, str] = {name: column.kind for name, column in COLUMNS.items()}
REQUIRED = tuple(name for name, column in COLUMNS.items() if column.is_required)

Mask: TypeAlias = NDArray[np.bool_] | None


def read_batch(
    plain: Mapping[str, Any], num_threads: int | None, *, stable: bool = False
) -> dict[str, Any]:
    """The columns of a batch as the core takes them, or some of them; as `read_columns`."""
    columns = read_columns(plain, stable=stable, num_threads=num_threads)
    states, next_states = columns["states"], columns["next_states"]
    if next_states is not None and not states.is_comparable_at_once(other=next_states):
        check_row_types(plain["states"], plain["next_states"])
        columns["states"], columns["next_states"] = comparable(states, next_states)
    return columns


def plain_columns(given: Mapping[str, Any]) -> dict[str, Any]:
    """The row arguments that are not None, each in one of few containers, of one length."""
    columns = each_plain({n: v for n, v in given.items() if v is not None or n in REQUIRED})
    check_lengths(columns)
    return columns


def each_plain(given: Mapping[str, Any]) -> dict[str, Any]:
    """Some columns, each in one of few containers."""
    return {
        name: values if type(values) is list else plain_column(name, values, exact=name in STATES)
        for name, values in given.items()
    }


def read_columns(
    plain: Mapping[str, Any], *, stable: bool, num_threads: int | None = None
) -> dict[str, Any]:
    """Keys, numbers and flags of `plain_columns`; None for each that is not there.

    `stable`: states have stable keys, for other processes and for a memory. Otherwise text may be
    viewed where it lies. With `num_threads` to compare them on, states may be numbers, and ids too.
    """
    columns = _core.plain_arrays(given=plain, kinds=_KINDS)
    if columns["mask"] is None and "mask" in plain:
        columns["mask"] = flag_column("mask", plain["mask"], None, own=True)
    if num_threads is not None and columns["states"] is None:
        columns |= _numbered(plain, columns, num_threads, stable)
    rows = columns["mask"]
    for name, values in plain.items():
        if columns[name] is not None:
            continue
        if name in STATES:
            columns[name] = _keyed(name, plain, columns, in_place=not stable)
        elif num_threads is not None and name in IDS:
            columns[name] = _id_numbers(name, values, rows)
        else:
            columns[name] = _READERS[COLUMNS[name].kind](name, values, rows)
    return columns


def _keyed(
    name: str, plain: Mapping[str, Any], columns: Mapping[str, Any], *, in_place: bool
) -> _core.KeyColumn:
    """States or next states, a key per row. `in_place`: of text, where it lies if that will do."""
    in_place = in_place and _share_text_form(plain["states"], plain.get("next_states"))
    states = columns["states"] if name == "next_states" else None
    return key_column(name, plain[name], columns["mask"], in_place=in_place, states=states)


def _numbered(
    plain: Mapping[str, Any], read: Mapping[str, Any], num_threads: int, stable: bool
) -> dict[str, _core.KeyColumn | None]:
    """Lists of plain states, numbered while they are read, and the group ids that takes.

    Nothing if they are not to be read that way; what is wrong with a column is found when it is
    read in its turn.
    """
    states, next_states = plain["states"], plain.get("next_states")
    if not (_holds_objects(states) and (next_states is None or _holds_objects(next_states))):
        return {}
    group_ids, mask = read["group_ids"], read["mask"]
    if group_ids is None:
        try:
            group_ids = _id_numbers("group_ids", plain["group_ids"], mask)
        except (TypeError, ValueError):
            return {}
    columns = _core.number_objects(
        states=_objects(states),
        next_states=None if next_states is None else _objects(next_states),
        group_ids=group_ids,
        mask=mask,
        stable=stable,
        num_threads=num_threads,
    )
    if columns is None:
        return {}
    return {"states": columns[0], "next_states": columns[1], "group_ids": group_ids}


def _holds_objects(values: Any) -> bool:
    if isinstance(values, np.ndarray):
        return values.dtype.kind == "O" and values.ndim == 1
    return isinstance(values, (list, tuple))


def _objects(values: Any) -> Any:
    """Elements as Python objects: of an object array where they lie."""
    if not isinstance(values, np.ndarray):
        return values
    return _plain_array(values) if values.dtype.kind == "O" else values.tolist()


def check_lengths(columns: dict[str, Any]) -> None:
    """Before any value is looked at: which values are masked depends on it.

    Arrow columns without a length are left to the core, which checks all of them again.
    """
    lengths = {name: len(values) for name, values in columns.items() if hasattr(values, "__len__")}
    for name, length in lengths.items():
        if length > MAX_ROWS:
            raise too_many_rows(name, length)
    num_rows = lengths.get("states")
    for name, length in lengths.items():
        if num_rows is not None and length != num_rows:
            raise ValueError(
                f"states has {num_rows} rows but {name} has {length}; "
                "every column needs one value per step"
            )


def key_column(
    name: str,
    values: Any,
    mask: Mask,
    *,
    is_id: bool = False,
    in_place: bool = False,
    states: _core.KeyColumn | None = None,
) -> _core.KeyColumn:
    """States, or ids, of a plain column as keys. ASCII and UTF-8 are viewed where they lie.

    `in_place`: so is all other text, and then equals other text in place only. `states` of the same
    rows, for their next states: an object that is also the following row's state is not read again.
    Of next states a NaN is unknown, as null is: pandas writes it so where it shifts a column.
    """
    nullable = name == "next_states"
    if isinstance(values, np.ndarray):
        if values.dtype.kind == "i" and values.ndim == 1:  # what ids mostly are, and always right
            own = np.array(values, np.int64) if is_id else _plain_array(values, np.int64)
            return _core.keys_from_integers(values=own)
        _check_key_array(name, values, is_id)
        if not _is_read_by_element(values):
            # Ids are read more than once, and index memory: never the caller's, who may change it.
            own = values.copy() if is_id else values
            return _keys_from_array(name, own, mask, in_place)
        values = _objects(values)
    if isinstance(values, (list, tuple, np.ndarray)):
        return _core.keys_from_objects(
            values=values,
            mask=mask,
            name=name,
            is_id=is_id,
            in_place=in_place,
            nullable=nullable,
            states=states,
        )
    return _core.keys_from_arrow(
        values=values, mask=mask, name=name, is_id=is_id, nullable=nullable
    )


def _check_key_array(name: str, values: NDArray[Any], is_id: bool) -> None:
    kind = values.dtype.kind
    if len(values) == 0:  # of any dtype: there is nothing to misread
        return
    if is_id and kind in "bfc":
        raise TypeError(f"{name} is an array of dtype {values.dtype}; expected ints or strings")
    if values.ndim != 1 and (is_id or kind not in "biuf"):
        raise ValueError(f"{name} has shape {values.shape}; expected (N,), one value per step")
    is_foreign = values.dtype.num >= 256 and kind != "T"  # a byte of theirs may be called a float
    too_wide = kind == "f" and values.ndim == 1 and values.dtype.itemsize > 8
    if kind not in "biufUSOT" or is_foreign or too_wide:
        raise TypeError(
            f"{name} is an array of dtype {values.dtype}; expected strings, bytes, bool, ints, "
            "floats of at most 64 bits, or objects"
        )


def _share_text_form(states: Any, next_states: Any) -> bool:
    """Whether equal texts of both lie in memory in one form: as str, or padded by NumPy."""

    def form(values: Any) -> str | None:
        if isinstance(values, (list, tuple)):
            return "O"
        is_text = isinstance(values, np.ndarray) and values.dtype.kind in ("O", "T", "U")
        return values.dtype.kind.replace("T", "O") if is_text else None

    return form(states) is not None and (next_states is None or form(states) == form(next_states))


def _is_read_by_element(values: NDArray[Any]) -> bool:
    """Objects, StringDType, whose elements NumPy hands out as str only, and ints beyond int64."""
    kind = values.dtype.kind
    if len(values) == 0 or kind in ("O", "T"):
        return True
    return kind == "u" and values.ndim == 1 and bool(values.max() > np.iinfo(np.int64).max)


def _keys_from_array(
    name: str, values: NDArray[Any], mask: Mask, in_place: bool
) -> _core.KeyColumn:
    if values.ndim != 1:
        return _core.keys_from_rows(values=values, mask=mask, name=name)
    kind = values.dtype.kind
    if kind == "u":
        return _core.keys_from_integers(values=_plain_array(values, np.int64))
    if kind == "f":
        reals = _plain_array(values, np.float64)
        nullable = name == "next_states"
        return _core.keys_from_reals(values=reals, mask=mask, name=name, nullable=nullable)
    if kind == "b":
        return _core.keys_from_flags(values=_plain_array(values))
    if kind == "U":
        native = _plain_array(values, values.dtype.newbyteorder("="))
        return _core.keys_from_fixed_text(values=native, in_place=in_place)
    return _core.keys_from_fixed_bytes(values=_plain_array(values))


def check_row_types(states: Any, next_states: Any) -> None:
    """Rows of two numeric arrays must be of one type: 1 and 1.0 are two states."""
    types = [row_type(column) for column in (states, next_states)]
    if None not in types and types[0] != types[1]:
        raise ValueError(
            "states and next_states are numeric arrays whose rows differ in dtype or shape; "
            "expected the same of both, or no row of one could equal one of the other"
        )


def row_type(column: Any) -> tuple[Any, ...] | None:
    if not isinstance(column, np.ndarray) or column.dtype.kind not in "biuf" or len(column) == 0:
        return None
    if column.ndim == 1:  # Python's bool, int or float, whatever its width
        return ("i" if column.dtype.kind == "u" else column.dtype.kind,)
    return (column.dtype.kind, column.dtype.itemsize, column.shape[1:])


def comparable(
    states: _core.KeyColumn, next_states: _core.KeyColumn
) -> tuple[_core.KeyColumn, _core.KeyColumn]:
    """Both columns in forms in which equal states have equal keys."""
    if states.is_rows != next_states.is_rows:
        rows, objects = (states, next_states) if states.is_rows else (next_states, states)
        if objects.lacks_arrays:
            raise TypeError(
                "one of states and next_states is an array of rows but the other holds no arrays; "
                "expected arrays of one dtype and shape in both"
            )
        arrays = rows.with_arrays_apart()
        return (arrays, objects) if states.is_rows else (objects, arrays)
    for integers, text, wrong in (
        (states, next_states, "states holds integers but next_states text"),
        (next_states, states, "states holds text but next_states integers"),
    ):
        if integers.has_integers_only and text.has_text_only:
            raise TypeError(f"{wrong}; expected states of one kind (keys on one side only?)")
    return states, next_states


def real_column(name: str, values: Any, mask: Mask) -> NDArray[np.float64]:
    """Numbers of a plain column; an outcome may be unknown, NaN."""
    nullable = name == "episode_returns"
    if isinstance(values, (list, tuple)):
        return _core.reals_from_objects(values=values, mask=mask, name=name, nullable=nullable)
    if not isinstance(values, np.ndarray):
        return _core.reals_from_arrow(values=values, mask=mask, name=name, nullable=nullable)
    _check_one_axis(name, values)
    if values.dtype.kind in "biuf" and values.dtype.num < 256:
        with np.errstate(over="ignore"):  # of a long double: infinity, which is refused by its row
            return _plain_array(values, np.float64)
    elements = _elements(name, values, "numbers")
    return _core.reals_from_objects(values=elements, mask=mask, name=name, nullable=nullable)


def integer_column(name: str, values: Any, mask: Mask) -> NDArray[np.int64]:
    """Ints inside int64 of a plain column."""
    if isinstance(values, (list, tuple)):
        return _core.integers_from_objects(values=values, mask=mask, name=name)
    if not isinstance(values, np.ndarray):
        return _core.integers_from_arrow(values=values, mask=mask, name=name)
    _check_one_axis(name, values)
    if values.dtype.kind in "iu" and not (
        values.dtype == np.uint64 and len(values) > 0 and values.max() > np.iinfo(np.int64).max
    ):
        return _plain_array(values, np.int64)
    return _core.integers_from_objects(values=_elements(name, values, "ints"), mask=mask, name=name)


def verdict_column(name: str, values: Any, mask: Mask) -> NDArray[np.uint8]:
    """Flags that may be unknown (None): 0, 1, and the core's `no_verdict`."""
    if isinstance(values, (list, tuple)):
        return _core.verdicts_from_objects(values=values, mask=mask, name=name)
    if not isinstance(values, np.ndarray):
        return _core.verdicts_from_arrow(values=values, mask=mask, name=name)
    if values.dtype.kind == "O" and values.ndim == 1:
        return _core.verdicts_from_objects(values=values.tolist(), mask=mask, name=name)
    return flag_column(name, values, mask).view(np.uint8)


def flag_column(name: str, values: Any, mask: Mask, *, own: bool = False) -> NDArray[np.bool_]:
    """Bools, or exactly 0 and 1, of a plain column. `own`: never the caller's memory."""
    if isinstance(values, (list, tuple)):
        return _core.flags_from_objects(values=values, mask=mask, name=name)
    if not isinstance(values, np.ndarray):
        return _core.flags_from_arrow(values=values, mask=mask, name=name)
    _check_one_axis(name, values)
    if values.dtype.kind == "b":
        return np.array(values, order="C") if own else _plain_array(values)
    if values.dtype.kind in "iuf" and bool(((values == 0) | (values == 1)).all()):
        return _plain_array(values == 1)
    return _core.flags_from_objects(values=_elements(name, values, "bools"), mask=mask, name=name)


def _elements(name: str, values: NDArray[Any], expected: str) -> tuple[Any, ...]:
    """The array's elements one by one, where its dtype promises nothing; errors then name a row."""
    if values.dtype.kind in "biufO" or len(values) == 0:
        return tuple(values.tolist())
    raise TypeError(f"{name} is an array of dtype {values.dtype}; expected {expected}")


def plain_column(name: str, values: Any, *, exact: bool = True) -> Any:
    """A NumPy array, a list or tuple, or something with an Arrow PyCapsule method.

    `exact`: every dtype stays as it is. Otherwise bfloat16, which NumPy lacks, becomes float32,
    which holds all of it.
    """
    if isinstance(values, np.ndarray):
        if values.ndim == 0:
            raise TypeError(f"{name} is a 0-d array; expected a column, one value per step")
        if type(values) is not np.ndarray and isinstance(values, np.ma.MaskedArray):
            raise TypeError(f"{name} is a masked array; expected a plain one, and `mask` for rows")
        if len(values) > MAX_ROWS:  # before anything is allocated for them
            raise too_many_rows(name, len(values))
        return values
    if isinstance(values, (list, tuple)):
        return values
    if _is_tensor(values):
        if not exact and str(values.dtype) == "torch.bfloat16":
            values = values.float()
        return plain_column(name, _core.array_of_tensor(tensor=values, name=name))
    if type(values).__module__.partition(".")[0] == "pandas":
        return plain_column(name, _from_pandas(values))
    if hasattr(values, "__arrow_c_array__") or hasattr(values, "__arrow_c_stream__"):
        return values
    if hasattr(values, "__array__"):
        return plain_column(name, np.asarray(values))
    if isinstance(values, Sequence) and not isinstance(values, (str, bytes, bytearray, memoryview)):
        return tuple(values)
    raise TypeError(
        f"{name} is a {type(values).__name__}; expected a column, one value per step: a list, "
        "a NumPy array, an Arrow column or a CPU tensor"
    )


def _from_pandas(values: Any) -> Any:
    if str(getattr(values, "dtype", "")) == "category":
        return _from_categories(getattr(values, "array", values))
    # A Series of Arrow memory is read as Arrow; pandas would make objects of it.
    to_arrow = getattr(getattr(values, "array", None), "__arrow_array__", None)
    if to_arrow is not None:
        try:
            return to_arrow()
        except ImportError:  # pyarrow is not installed
            pass
    return np.asarray(values)


def _from_categories(values: Any) -> NDArray[Any]:
    # Objects, not what pandas makes of them: with a missing one ints would become floats.
    categories = np.append(np.asarray(values.categories, object), [None])
    found: NDArray[Any] = categories[np.asarray(values.codes)]  # missing is -1, the last
    return found


def _is_tensor(values: Any) -> bool:
    """Whether it is a torch tensor, found out without importing torch."""
    return all(hasattr(values, name) for name in ("detach", "numpy", "device"))


def is_on_a_device(values: Any) -> bool:
    """Whether it is a torch tensor with values that are not in host memory."""
    torch = sys.modules.get("torch")  # who has a tensor has imported it
    is_one = torch is not None and isinstance(values, torch.Tensor)
    return is_one and values.device.type not in ("cpu", "meta")


def too_many_rows(name: str, num_rows: int) -> ValueError:
    return ValueError(f"{name} has {num_rows} rows; expected at most {MAX_ROWS} (2**31 - 2)")


def _plain_array(values: NDArray[Any], dtype: Any = None) -> NDArray[Any]:
    """C-contiguous and aligned, copied only if it is not."""
    if (
        (dtype is None or values.dtype == dtype)
        and values.flags.c_contiguous
        and values.flags.aligned
    ):
        return values  # `require` finds it out too, in a microsecond
    return np.require(values, dtype, ("C", "A"))


def _check_one_axis(name: str, values: NDArray[Any]) -> None:
    if values.ndim != 1:
        raise ValueError(f"{name} has shape {values.shape}; expected (N,), one value per step")


def _id_column(name: str, values: Any, mask: Mask) -> _core.KeyColumn:
    return key_column(name, values, mask, is_id=True)


def _id_numbers(name: str, values: Any, mask: Mask) -> _core.KeyColumn:
    """Ids that need equal each other in this process only: of objects, numbers instead of keys."""
    if _holds_objects(values):
        return _core.number_ids(values=_objects(values), mask=mask, name=name)
    return _id_column(name, values, mask)


_READERS: dict[Kind, Callable[[str, Any, Mask], Any]] = {
    "state": key_column,
    "id": _id_column,
    "key": key_column,
    "flag": flag_column,
    "verdict": verdict_column,
    "integer": integer_column,
    "real": real_column,
}
