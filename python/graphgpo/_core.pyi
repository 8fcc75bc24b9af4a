"""The native core. Private: use the functions of graphgpo."""

from collections.abc import Mapping, Sequence
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
    def is_comparable_at_once(self, *, other: KeyColumn) -> bool: ...
    @property
    def has_integers_only(self) -> bool: ...
    @property
    def has_text_only(self) -> bool: ...
    @property
    def lacks_arrays(self) -> bool: ...
    def with_arrays_apart(self) -> KeyColumn: ...

@final
class Plan:
    """An estimator as the core computes it. Opaque."""

    def __init__(self, *, plan: dict[str, Any]) -> None: ...

@final
class GraphMemory:
    """Edges between stable keys, by task. Opaque."""

    def __init__(self, *, max_states_per_task: int, max_age: int | None) -> None: ...
    def edges(self) -> dict[str, Any]: ...
    def add(
        self,
        *,
        num_batches: int,
        task: NDArray[np.int64],
        source: NDArray[np.int64],
        target: NDArray[np.int64],
        is_goal: NDArray[np.bool_],
        last_seen: NDArray[np.int64],
    ) -> None: ...
    def forget(self, *, task: int) -> bool: ...
    def sizes(self) -> tuple[int, int, int, int]: ...

def stable_keys(*, column: KeyColumn, name: str) -> NDArray[np.int64]: ...
def nullable_stable_keys(*, column: KeyColumn) -> tuple[NDArray[np.int64], NDArray[np.bool_]]: ...
def stable_key_of_object(*, state: Any) -> int: ...
def array_of_tensor(*, tensor: Any, name: str) -> NDArray[Any]: ...
def keys_from_objects(
    *,
    values: list[Any] | tuple[Any, ...] | NDArray[np.object_],
    mask: NDArray[np.bool_] | None,
    name: str,
    is_id: bool,
    in_place: bool,
    nullable: bool,
    states: KeyColumn | None,
) -> KeyColumn: ...
def number_ids(
    *,
    values: list[Any] | tuple[Any, ...] | NDArray[np.object_],
    mask: NDArray[np.bool_] | None,
    name: str,
) -> KeyColumn: ...
def number_objects(
    *,
    states: list[Any] | tuple[Any, ...] | NDArray[np.object_],
    next_states: list[Any] | tuple[Any, ...] | NDArray[np.object_] | None,
    group_ids: KeyColumn,
    mask: NDArray[np.bool_] | None,
    stable: bool,
    num_threads: int,
) -> tuple[KeyColumn, KeyColumn | None] | None: ...
def reals_from_objects(
    *,
    values: list[Any] | tuple[Any, ...],
    mask: NDArray[np.bool_] | None,
    name: str,
    nullable: bool,
) -> NDArray[np.float64]: ...
def integers_from_objects(
    *, values: list[Any] | tuple[Any, ...], mask: NDArray[np.bool_] | None, name: str
) -> NDArray[np.int64]: ...
def flags_from_objects(
    *, values: list[Any] | tuple[Any, ...], mask: NDArray[np.bool_] | None, name: str
) -> NDArray[np.bool_]: ...
def verdicts_from_objects(
    *, values: list[Any] | tuple[Any, ...], mask: NDArray[np.bool_] | None, name: str
) -> NDArray[np.uint8]: ...
def keys_from_rows(
    *, values: NDArray[Any], mask: NDArray[np.bool_] | None, name: str
) -> KeyColumn: ...
def keys_from_reals(
    *, values: NDArray[np.float64], mask: NDArray[np.bool_] | None, name: str, nullable: bool
) -> KeyColumn: ...
def keys_from_flags(*, values: NDArray[np.bool_]) -> KeyColumn: ...
def keys_from_fixed_text(*, values: NDArray[np.str_], in_place: bool) -> KeyColumn: ...
def keys_from_fixed_bytes(*, values: NDArray[np.bytes_]) -> KeyColumn: ...
def keys_from_integers(*, values: NDArray[np.int64]) -> KeyColumn: ...
def plain_arrays(*, given: Mapping[str, Any], kinds: dict[str, str]) -> dict[str, Any]: ...
def keys_from_arrow(
    *, values: Any, mask: NDArray[np.bool_] | None, name: str, is_id: bool, nullable: bool
) -> KeyColumn: ...
def reals_from_arrow(
    *, values: Any, mask: NDArray[np.bool_] | None, name: str, nullable: bool
) -> NDArray[np.float64]: ...
def integers_from_arrow(
    *, values: Any, mask: NDArray[np.bool_] | None, name: str
) -> NDArray[np.int64]: ...
def flags_from_arrow(
    *, values: Any, mask: NDArray[np.bool_] | None, name: str
) -> NDArray[np.bool_]: ...
def verdicts_from_arrow(
    *, values: Any, mask: NDArray[np.bool_] | None, name: str
) -> NDArray[np.uint8]: ...
def compute_advantages(
    *,
    columns: dict[str, Any],
    plans: Sequence[Plan],
    num_threads: int,
    remembering: dict[str, Any] | None,
) -> list[dict[str, Any]]: ...
def build_graph(*, columns: dict[str, Any], num_threads: int) -> dict[str, Any]: ...
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
