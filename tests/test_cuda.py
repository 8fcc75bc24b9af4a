"""graphgpo.cuda: arrays of devices in and out, errors, and what it says where there is no device.

What the numbers must be, the tests with the `compute` fixture say for every back end.
"""

from __future__ import annotations

import gc
import inspect
import pickle
import re
import subprocess
import sys
import threading
import weakref
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from numpy.typing import NDArray
from torch.utils.dlpack import from_dlpack

import graphgpo
from batches import Columns, options, random_walks, rollouts, with_padding
from conftest import GPUS
from devices import Arrays, to_arrays, to_device, to_host
from graphgpo import cuda
from graphgpo.torch import to_tokens


def walks(seed: int = 0) -> Arrays:
    return to_arrays(random_walks(seed))


def good() -> Arrays:
    """Two rollouts; every test spoils one thing."""
    return {
        "state_keys": np.array([10, 11, 10]),
        "next_state_keys": np.array([11, 12, 13]),
        "group_ids": np.array([0, 0, 0]),
        "trajectory_ids": np.array([0, 0, 1]),
        "success": np.array([False, True, False]),
        "step_ids": np.array([0, 1, 0]),
    }


def on_cpu(arrays: Arrays, **chosen: Any) -> graphgpo.StepAdvantages:
    arrays = dict(arrays)
    states, next_states = arrays.pop("state_keys"), arrays.pop("next_state_keys", None)
    known = arrays.pop("next_state_known", None)
    if next_states is not None and known is not None:
        next_states = np.where(known, next_states, None)  # type: ignore[call-overload]
    return graphgpo.compute_advantages(states, next_states, **{"success": None, **arrays, **chosen})


def on_device(arrays: Arrays, **chosen: Any) -> graphgpo.StepAdvantages:
    columns: dict[str, Any] = {name: to_device(values) for name, values in arrays.items()}
    return to_host(cuda.compute_advantages(**{"success": None, **columns, **chosen}))


def assert_same(result: graphgpo.StepAdvantages, expected: graphgpo.StepAdvantages) -> None:
    for name in ("state_ids", "next_state_ids"):
        np.testing.assert_array_equal(getattr(result, name), getattr(expected, name), err_msg=name)
    for name in ("edge_returns", "distances", "next_distances"):
        np.testing.assert_allclose(
            getattr(result, name), getattr(expected, name), rtol=1e-6, atol=1e-6, err_msg=name
        )
    for name in ("advantages", "step_advantages", "episode_advantages"):
        np.testing.assert_allclose(
            getattr(result, name), getattr(expected, name), rtol=1e-6, atol=1e-6, err_msg=name
        )
    assert result.metrics == pytest.approx(expected.metrics, rel=1e-6, abs=1e-6)


# Numbers


@given(columns=rollouts(), chosen=options)
def test_the_device_agrees_with_the_cpu_under_every_option(
    device: Any, columns: Columns, chosen: dict[str, Any]
) -> None:
    arrays = to_arrays(with_padding(columns, [0])[0])
    assert_same(on_device(arrays, **chosen), on_cpu(arrays, **chosen))


@pytest.mark.parametrize("estimator", ["graphgpo", "gigpo", "grpo"])
@pytest.mark.parametrize("has_unit_costs", [True, False])
@pytest.mark.parametrize("num_groups", [1, 3, 400])
def test_small_and_large_batches_agree(
    device: Any, num_groups: int, has_unit_costs: bool, estimator: str
) -> None:
    arrays = to_arrays(random_walks(7, num_groups=num_groups, has_unit_costs=has_unit_costs))
    assert_same(on_device(arrays, estimator=estimator), on_cpu(arrays, estimator=estimator))


def test_a_config_and_a_mapping_mean_the_same(device: Any) -> None:
    recipe = graphgpo.GraphGPOConfig.recipe(omega=0.3)
    expected = on_cpu(walks(), config=recipe)
    assert_same(on_device(walks(), config=recipe), expected)
    as_mapping = {"exponent": "recipe", "epsilon_scale": "absolute", "episode_weighting": "step"}
    changes = {"invalid_action_penalty": 0.1, "omega": 0.3}
    assert_same(on_device(walks(), config=as_mapping, **changes), expected)


def test_a_next_state_that_is_not_known_is_a_none(device: Any) -> None:
    known = good() | {"next_state_keys": np.array([11, 10, 10])}
    unknown = known | {"next_state_known": np.array([True, False, False])}
    assert_same(on_device(unknown), on_cpu(unknown))
    assert on_device(known).next_state_ids.tolist() == [1, 2, 0]
    assert on_device(unknown).next_state_ids.tolist() == [1, 2, 3]


@pytest.mark.parametrize("dtype", [np.int64, np.float32, bool])
def test_an_empty_batch_of_any_dtype_is_a_result_of_length_zero(device: Any, dtype: Any) -> None:
    columns: dict[str, Any] = {name: to_device(np.zeros(0, dtype)) for name in good()}
    result = cuda.compute_advantages(**columns)
    assert len(result) == len(result.advantages) == 0
    assert_same(to_host(result), on_cpu({name: np.zeros(0, int) for name in good()}))
    assert from_dlpack(result.advantages).shape == (0,)


def test_a_batch_of_masked_rows_alone_has_no_credit(device: Any) -> None:
    arrays = good() | {"mask": np.zeros(3, bool)}
    assert_same(on_device(arrays), on_cpu(arrays))


def test_calls_from_several_threads_do_not_disturb_each_other(device: Any) -> None:
    batches = [walks(seed) for seed in range(4)]
    expected = [on_device(batch) for batch in batches]
    results: dict[int, list[graphgpo.StepAdvantages]] = {i: [] for i in range(len(batches))}

    def work(i: int) -> None:
        for _ in range(5):
            results[i].append(on_device(batches[i]))

    threads = [threading.Thread(target=work, args=(i,)) for i in results]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, found in results.items():
        assert len(found) == 5
        for result in found:
            np.testing.assert_array_equal(result.advantages, expected[i].advantages)


def test_the_workspace_and_the_waits_are_those_of_the_documentation(
    device: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports: list[dict[str, Any]] = []

    def compute(**arguments: Any) -> dict[str, Any]:
        reports.append(device.compute_advantages(**arguments))
        return reports[-1]

    watched = SimpleNamespace(**{**vars(device), "compute_advantages": compute})
    monkeypatch.setitem(sys.modules, "graphgpo._cuda", watched)
    arrays = to_arrays(random_walks(1, num_groups=800))
    on_device(arrays)
    (report,) = reports
    num_rows = len(arrays["state_keys"])
    assert 0 < report["workspace_bytes"] <= 256 * num_rows + 2**24
    assert report["synchronisations"] == 3
    assert report["launches"] > 0


# Arrays in


class Interface:
    """Memory of NumPy's as Numba shows a GPU's: `__cuda_array_interface__` and nothing else."""

    def __init__(self, values: NDArray[Any], **changes: Any) -> None:
        self.values = values
        self.changes = changes

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        interface = dict(self.values.__array_interface__)
        return {key: interface[key] for key in ("shape", "typestr", "data", "strides")} | {
            "version": 3,
            **self.changes,
        }


class OldDLPack:
    """An array that knows DLPack before version 1."""

    def __init__(self, values: NDArray[Any]) -> None:
        self.values = values

    def __dlpack__(self, *, stream: None = None) -> Any:
        return self.values.__dlpack__(stream=stream)

    def __dlpack_device__(self) -> Any:
        return self.values.__dlpack_device__()


class WithoutStrides:
    """As some producers do, whose arrays are contiguous."""

    def __init__(self, values: NDArray[Any]) -> None:
        self.interface = Interface(values, strides=None)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return self.interface.__cuda_array_interface__


def strided(values: NDArray[Any]) -> NDArray[Any]:
    return np.repeat(values, 3)[::3]


def backwards(values: NDArray[Any]) -> NDArray[Any]:
    return values[::-1].copy()[::-1]


def read_only(values: NDArray[Any]) -> NDArray[Any]:
    values = values.copy()
    values.setflags(write=False)
    return values


CONTAINERS: dict[str, Any] = {
    "NumPy": lambda x: x,
    "NumPy, strided": strided,
    "NumPy, backwards": backwards,
    "NumPy, read-only": read_only,
    "DLPack before 1": OldDLPack,
    "torch": torch.from_numpy,
    "torch, strided": lambda x: torch.from_numpy(np.repeat(x, 2))[::2],
    "torch, with gradient": lambda x: (
        torch.from_numpy(x).requires_grad_() if x.dtype.kind == "f" else torch.from_numpy(x)
    ),
    "interface": Interface,
    "interface, strided": lambda x: Interface(strided(x)),
    "interface, backwards": lambda x: Interface(backwards(x)),
    "interface, without strides": WithoutStrides,
    "interface, with a stream": lambda x: Interface(x, stream=1),
    "DeviceArray": to_device,
}


@pytest.mark.parametrize("make", CONTAINERS.values(), ids=CONTAINERS.keys())
def test_a_column_is_the_same_in_every_container(twin: Any, make: Any) -> None:
    arrays = walks()
    columns: dict[str, Any] = {name: make(values) for name, values in arrays.items()}
    assert_same(to_host(cuda.compute_advantages(**columns)), on_cpu(arrays))


INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
REALS = ["float16", "float32", "float64"]


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_of_any_type_are_keys_and_ids(device: Any, dtype: str) -> None:
    arrays = good()
    names = ("state_keys", "next_state_keys", "group_ids", "trajectory_ids", "step_ids")
    narrow = {name: arrays[name].astype(dtype) for name in names}
    assert_same(on_device({**arrays, **narrow}), on_cpu(arrays))


@pytest.mark.parametrize("dtype", [*INTEGERS, *REALS])
def test_numbers_of_any_type_are_rewards_and_flags(device: Any, dtype: str) -> None:
    arrays = good() | {
        "rewards": np.array([1, 0, 3]),
        "episode_returns": np.array([1, 1, 2]),
        "edge_costs": np.array([1, 2, 1]),
        "action_valid": np.array([1, 0, 1]),
        "mask": np.array([1, 1, 1]),
    }
    names = ("rewards", "episode_returns", "edge_costs", "action_valid", "mask", "success")
    narrow = {name: arrays[name].astype(dtype) for name in names}
    assert_same(on_device({**arrays, **narrow}), on_cpu(arrays))


def test_bfloat16_is_a_number(twin: Any) -> None:
    columns: dict[str, Any] = good() | {"rewards": torch.tensor([1.5, 0, 3]).bfloat16()}
    expected = on_cpu(good() | {"rewards": np.array([1.5, 0, 3])})
    assert_same(to_host(cuda.compute_advantages(**columns)), expected)


def test_one_value_for_all_rows_may_be_broadcast(twin: Any) -> None:
    columns: dict[str, Any] = good() | {"group_ids": torch.zeros(1, dtype=torch.int64).expand(3)}
    assert_same(to_host(cuda.compute_advantages(**columns)), on_cpu(good()))


def test_columns_are_not_changed(twin: Any) -> None:
    arrays = walks()
    copies = {name: values.copy() for name, values in arrays.items()}
    cuda.compute_advantages(**arrays)  # type: ignore[arg-type]
    for name, values in arrays.items():
        np.testing.assert_array_equal(values, copies[name])


def test_columns_are_let_go_of(twin: Any) -> None:
    keys = np.array([10, 11, 10])
    gone = weakref.ref(keys)
    before = sys.getrefcount(keys)
    result = cuda.compute_advantages(**{**good(), "state_keys": keys})  # type: ignore[arg-type]
    assert sys.getrefcount(keys) == before
    del keys
    assert gone() is None
    assert len(result) == 3


# Arrays out


def test_results_are_viewed_where_they_are_for_as_long_as_they_are_viewed(twin: Any) -> None:
    result: Any = cuda.compute_advantages(**walks())  # type: ignore[arg-type]
    expected = on_cpu(walks())
    by_numpy = np.from_dlpack(result.advantages)
    by_torch = from_dlpack(result.step_advantages)
    assert by_numpy.ctypes.data == result.advantages.pointer
    assert by_torch.data_ptr() == result.step_advantages.pointer
    memory = weakref.ref(result.advantages)
    del result
    gc.collect()
    assert memory() is None
    np.testing.assert_allclose(by_numpy, expected.advantages, atol=1e-6)
    np.testing.assert_allclose(by_torch.numpy(), expected.step_advantages, atol=1e-6)


def test_a_result_has_the_dtypes_of_the_cpus_and_is_aligned(device: Any) -> None:
    columns: dict[str, Any] = {name: to_device(values) for name, values in walks().items()}
    result, expected = cuda.compute_advantages(**columns), on_cpu(walks())
    for name in ("advantages", "edge_returns", "distances", "state_ids", "next_state_ids"):
        array, values = getattr(result, name), getattr(expected, name)
        assert (array.dtype, array.shape, len(array)) == (values.dtype, values.shape, len(values))
        assert array.pointer % 256 == 0
        interface = array.__cuda_array_interface__
        assert interface["data"] == (array.pointer, False)
        assert interface["typestr"] == values.dtype.str
        assert interface["shape"] == values.shape
        assert array.__dlpack_device__() == (device.DEVICE_TYPE, 0)


def test_a_result_copied_to_the_host_is_its_advantages(device: Any) -> None:
    columns: dict[str, Any] = {name: to_device(values) for name, values in walks().items()}
    result = cuda.compute_advantages(**columns)
    advantages = result.advantages.to_numpy()
    np.testing.assert_array_equal(np.asarray(result), advantages)
    np.testing.assert_array_equal(np.asarray(result.advantages), advantages)
    assert np.asarray(result, np.float64).dtype == np.float64
    assert len(result) == len(advantages)
    assert repr(result.advantages).startswith(f"DeviceArray(shape=({len(advantages)},), dtype=fl")
    with pytest.raises(ValueError, match="a DeviceArray is not on the host; expected copy=None"):
        np.asarray(result.advantages, copy=False)


def test_a_result_goes_to_the_tokens_as_it_is(device: Any) -> None:
    columns: dict[str, Any] = {name: to_device(values) for name, values in good().items()}
    tokens = to_tokens(cuda.compute_advantages(**columns), torch.ones(3, 2))
    np.testing.assert_allclose(tokens[:, 1].numpy(), on_cpu(good()).advantages, atol=1e-6)


def test_capsules_nobody_takes_are_freed(twin: Any) -> None:
    result = cuda.compute_advantages(**walks()).advantages  # type: ignore[arg-type]
    counts = [sys.getrefcount(result._memory)]
    for max_version, name in ((None, "dltensor"), ((1, 1), "dltensor_versioned")):
        capsule = result.__dlpack__(max_version=max_version)
        assert f'"{name}"' in repr(capsule)
        counts.append(sys.getrefcount(result._memory))
        del capsule
        counts.append(sys.getrefcount(result._memory))
    assert np.subtract(counts, counts[0]).tolist() == [0, 1, 0, 1, 0]


def test_a_capsule_is_taken_once(twin: Any) -> None:
    capsule = to_device(np.zeros(3)).__dlpack__()
    twin.TensorView(capsule=capsule)
    with pytest.raises(ValueError, match="not a DLPack capsule, or one that was used before"):
        twin.TensorView(capsule=capsule)


def test_a_copy_or_another_device_is_refused_as_dlpack_has_it(twin: Any) -> None:
    array = to_device(np.zeros(3))
    for arguments in ({"copy": True}, {"dl_device": (7, 1)}):
        with pytest.raises(BufferError, match="a DeviceArray is handed over without a copy"):
            array.__dlpack__(**arguments)
    assert array.__dlpack__(copy=False, dl_device=array.__dlpack_device__())


# State keys

ROWS: dict[str, NDArray[Any]] = {
    **{dtype: np.arange(24).reshape(4, 3, 2).astype(dtype) for dtype in [*INTEGERS, *REALS]},
    "bool": np.array([[True, False], [False, True], [True, False]]),
    "one element": np.array([[1.5], [2.5]], np.float32),
    "long rows": np.random.default_rng(0).integers(0, 255, (5, 997), np.uint8),
    "longer rows": np.random.default_rng(1).normal(size=(3, 64, 64)),
    "signed zeros": np.array([[0.0, -0.0], [-0.0, 0.0], [0.0, 1.0]]),
    "signed zeros, half": np.array([[0.0, -0.0], [-0.0, 0.0]], np.float16),
    "infinities": np.array([[np.inf, -np.inf], [-np.inf, np.inf]], np.float32),
    "no rows": np.zeros((0, 3)),
    "no elements": np.zeros((3, 0)),
}


@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS.keys())
def test_keys_of_rows_are_those_of_the_cpu_bit_for_bit(device: Any, rows: NDArray[Any]) -> None:
    keys = cuda.state_keys(to_device(rows))
    assert keys.dtype == np.int64
    np.testing.assert_array_equal(keys.to_numpy(), graphgpo.state_keys(rows))


def test_keys_go_from_call_to_call_without_leaving_the_device(device: Any) -> None:
    boards = np.array([[[0, 1]], [[1, 0]], [[0, 1]]], np.int8)
    columns: dict[str, Any] = {name: to_device(x) for name, x in good().items()}
    del columns["next_state_keys"]
    columns["state_keys"] = cuda.state_keys(to_device(boards))
    arrays = good() | {"state_keys": graphgpo.state_keys(boards)}
    del arrays["next_state_keys"]
    assert_same(to_host(cuda.compute_advantages(**columns)), on_cpu(arrays))


@pytest.mark.parametrize(
    ("rows", "error", "text"),
    [
        (
            np.array([[1.0, 2.0], [1.0, np.nan], [np.nan, 0.0]]),
            ValueError,
            "states[1] holds a NaN; expected numbers: NaN equals nothing, not even itself",
        ),
        (
            np.array([[1, np.nan]], np.float16),
            ValueError,
            "states[0] holds a NaN; expected numbers: NaN equals nothing, not even itself",
        ),
        (
            np.zeros(3, int),
            ValueError,
            "states has shape (3,); expected (N, ...), a state per row: integers are keys as they "
            "are",
        ),
        (
            np.zeros((3, 2), complex),
            TypeError,
            "states is an array of dtype complex128; expected rows of bool, int, uint or float of "
            "at most 64 bits",
        ),
        (
            torch.zeros(3, 2).bfloat16(),
            TypeError,
            "states is an array of dtype bfloat16; expected rows of bool, int, uint or float of "
            "at most 64 bits",
        ),
        (
            np.zeros((3, 4))[:, ::2],
            ValueError,
            "states is not C-contiguous; expected rows in C order: copy it",
        ),
        (
            np.zeros((4, 3)).T,
            ValueError,
            "states is not C-contiguous; expected rows in C order: copy it",
        ),
        (np.array(1.0), TypeError, "states is a 0-d array; expected a column, one value per step"),
    ],
)
def test_rows_without_keys_are_refused(
    twin: Any, rows: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error) as caught:
        cuda.state_keys(rows)
    assert str(caught.value) == text


def test_axes_of_length_one_may_have_any_stride(twin: Any) -> None:
    rows = np.lib.stride_tricks.as_strided(np.arange(4.0), (1, 4), (24, 8))
    np.testing.assert_array_equal(np.asarray(cuda.state_keys(rows)), graphgpo.state_keys(rows))


# Errors

COPIES = (
    "rows with the same group, trajectory and step id are copies of one step and must agree in "
    "every column"
)
FLAG = "expected a bool, or exactly 0 or 1"

#  What is spoiled. Every one of these is the CPU call's error, word for word but for the names.
AS_ON_CPU: list[dict[str, Any]] = [
    {"group_ids": np.array([0, 0])},
    {"mask": np.array([True])},
    {"success": np.array(True)},
    {"rewards": np.zeros((3, 1))},
    {"group_ids": np.zeros((3, 1), int)},
    {"next_state_known": np.array([False, True, True])},
    {"next_state_keys": None, "step_ids": np.array([0, 2, 0])},
    {"step_ids": np.array([0, 2**63, 0], np.uint64)},
    {"step_ids": np.zeros(3, int), "success": np.array([True, True, False])},
    {"step_ids": np.zeros(3, int), "state_keys": np.array([5, 5, 5]), "next_state_keys": None},
    {"success": None},
    {"success": np.array([True, False, False])},
    {"success": np.array([0, 1, -1])},
    {"success": np.array([0, 1, 2], np.uint8)},
    {"action_valid": np.array([0, 0.5, 1])},
    {"mask": np.array([1, np.nan, 1])},
    {"mask": np.array([1, np.inf, 1], np.float32)},
    {"rewards": np.array([0, np.nan, 0])},
    {"rewards": np.array([0, np.inf, np.nan], np.float16)},
    {"episode_returns": np.array([1, 1, np.inf])},
    {"episode_returns": np.array([1, 2, 1])},
    {"edge_costs": np.array([1, 0, 1])},
    {"edge_costs": np.array([1, 1, -0.5])},
    {"edge_costs": np.full(3, 1e308)},
    {"rewards": np.array([1e308, 1e308, 0])},
    {"rewards": np.array([1e308, 0, -1e308])},
    {"step_weight": 1e300},
    {"omega": 1e-300, "exponent": "recipe", "edge_costs": np.full(3, 0.1), "success_reward": 1e200},
    {"omega": 1.0},
    {"estimator": "ppo"},
    {"gamma": 0.9},
    {"omgea": 0.1},
    {"temperature": 1},
    {"config": "recipe"},
    {"config": {"omgea": 1}},
    {"invalid_action_penalty": -0.1},
]


@pytest.mark.parametrize("spoiled", AS_ON_CPU, ids=lambda spoiled: "-".join(spoiled))
def test_a_mistake_is_told_as_the_cpu_call_tells_it(device: Any, spoiled: dict[str, Any]) -> None:
    arguments = {**good(), **spoiled}
    arguments = {name: value for name, value in arguments.items() if value is not None}
    with pytest.raises((TypeError, ValueError)) as expected:
        on_cpu(arguments)
    columns: dict[str, Any] = {
        name: to_device(value) if isinstance(value, np.ndarray) else value
        for name, value in {"success": None, **arguments}.items()
    }
    with pytest.raises((TypeError, ValueError)) as caught:
        cuda.compute_advantages(**columns)
    renamed = re.sub(r"\b(next_)?states\b", r"\1state_keys", str(expected.value))
    assert str(caught.value) == renamed
    assert type(caught.value) is type(expected.value)
    # And the next call works.
    assert len(on_device(good())) == 3


CASES: list[tuple[dict[str, Any], type[Exception], str]] = [
    (
        {"state_keys": [1, 2, 3]},
        TypeError,
        "state_keys is a list; expected an array on a GPU, one value per step: a torch CUDA "
        "tensor, or anything with DLPack or __cuda_array_interface__",
    ),
    (
        {"group_ids": None},
        TypeError,
        "group_ids is a NoneType; expected an array on a GPU, one value per step: a torch CUDA "
        "tensor, or anything with DLPack or __cuda_array_interface__",
    ),
    (
        {"state_keys": np.zeros(3)},
        TypeError,
        "state_keys is an array of dtype float64; expected ints "
        "(graphgpo.cuda.state_keys makes keys of rows)",
    ),
    (
        {"next_state_keys": np.zeros(3, bool)},
        TypeError,
        "next_state_keys is an array of dtype bool; expected ints "
        "(graphgpo.cuda.state_keys makes keys of rows)",
    ),
    (
        {"state_keys": np.zeros((3, 2), int)},
        ValueError,
        "state_keys has shape (3, 2); expected (N,), one value per step: "
        "graphgpo.cuda.state_keys makes keys of rows",
    ),
    (
        {"state_keys": np.array([0, 2**63, 0], np.uint64)},
        ValueError,
        "state_keys[1] is 9223372036854775808 (int); expected an int an int64 can hold",
    ),
    (
        {"group_ids": np.zeros(3, np.float32)},
        TypeError,
        "group_ids is an array of dtype float32; expected ints",
    ),
    (
        {"trajectory_ids": np.zeros(3, bool)},
        TypeError,
        "trajectory_ids is an array of dtype bool; expected ints",
    ),
    (
        {"step_ids": np.zeros(3)},
        TypeError,
        "step_ids is an array of dtype float64; expected ints",
    ),
    (
        {"rewards": np.zeros(3, np.complex64)},
        TypeError,
        "rewards is an array of dtype complex64; expected numbers",
    ),
    (
        {"success": np.zeros(3, np.complex64)},
        TypeError,
        "success is an array of dtype complex64; expected bools",
    ),
    (
        {"step_ids": np.array([0, 0, 0]), "next_state_keys": None},
        ValueError,
        f"state_keys[1] is 11 but row 0 has 10; {COPIES}",
    ),
    (
        {"next_state_keys": None, "next_state_known": np.array([True, True, True])},
        ValueError,
        "next_state_known is given without next_state_keys; expected both, or neither",
    ),
    (
        {"next_state_known": np.array([2, 1, 1])},
        ValueError,
        f"next_state_known[0] is 2 (int); {FLAG}",
    ),
    (
        {"rewards": Interface(np.zeros(3), mask=np.zeros(3, bool))},
        TypeError,
        "rewards is a masked array; expected a plain one, and `mask` for rows",
    ),
    (
        {"step_ids": Interface(np.zeros(3, ">i4"))},
        TypeError,
        "step_ids is an array of dtype >i4; expected ints",
    ),
    (
        {"rewards": Interface(np.zeros(3, [("x", "f8"), ("y", "i4")])["x"])},
        ValueError,
        "rewards has strides of (12,) bytes; expected multiples of 8, the size of a value",
    ),
    (
        {"rewards": torch.zeros(3).to_sparse()},
        TypeError,
        "rewards cannot be read by DLPack: ",
    ),
    (
        {"stream": "mine"},
        TypeError,
        "stream is 'mine' (str); expected a CUDA stream: torch's, CuPy's, or its address",
    ),
    (
        {"stream": -1},
        TypeError,
        "stream is -1 (int); expected a CUDA stream: torch's, CuPy's, or its address",
    ),
]


@pytest.mark.parametrize(
    ("spoiled", "error", "text"),
    CASES,
    ids=[f"{i}-{next(iter(c[0]))}" for i, c in enumerate(CASES)],
)
def test_the_error_says_what_is_wrong(
    twin: Any, spoiled: dict[str, Any], error: type[Exception], text: str
) -> None:
    arguments: dict[str, Any] = {**good(), **spoiled}
    with pytest.raises(error) as caught:
        cuda.compute_advantages(**arguments)
    found = str(caught.value)
    assert found == text if not text.endswith(": ") else found.startswith(text)
    assert type(caught.value) is error
    assert len(cuda.compute_advantages(**good())) == 3  # type: ignore[arg-type]


def test_more_rows_than_ids_can_number_are_refused_before_memory_is_taken(twin: Any) -> None:
    column = np.broadcast_to(np.int8(0), 2**31 - 1)
    with pytest.raises(ValueError, match="state_keys has 2147483647 rows; expected at most 2147"):
        cuda.compute_advantages(**{**good(), "state_keys": Interface(column)})  # type: ignore[arg-type]


def test_too_little_memory_is_an_error_and_nothing_worse(device: Any) -> None:
    error = device.DeviceError if device.DEVICE_TYPE == 2 else MemoryError
    with pytest.raises(error):
        device.Memory(bytes=2**60, device=0, stream=0, keeps=None)
    assert len(on_device(good())) == 3


# Places


class Elsewhere:
    """An array on some device, which says to whom and on which stream it is handed over."""

    def __init__(self, device: tuple[int, int]) -> None:
        self.device = device
        self.stream: Any = "never asked"

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device

    def __dlpack__(self, *, stream: Any = None, max_version: Any = None) -> Any:
        self.stream = stream
        raise BufferError("not an array")


@pytest.fixture
def gpu_to_look_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that is for GPUs and does nothing with them."""
    module: Any = SimpleNamespace(DEVICE_TYPE=2, DeviceError=ZeroDivisionError)
    monkeypatch.setitem(sys.modules, "graphgpo._cuda", module)


@pytest.mark.usefixtures("gpu_to_look_at")
@pytest.mark.parametrize(
    ("places", "text"),
    [
        (
            {"state_keys": (1, 0)},
            "state_keys is on cpu; expected a CUDA device: arrays on the host are for "
            "graphgpo.compute_advantages and graphgpo.state_keys",
        ),
        (
            {"rewards": (1, 0)},
            "rewards is on cpu; expected cuda:1, the device of state_keys",
        ),
        (
            {"mask": (2, 0)},
            "mask is on cuda:0; expected cuda:1, the device of state_keys",
        ),
        (
            {"mask": (3, 1)},
            "mask is on cuda_host:1; expected cuda:1, the device of state_keys",
        ),
        (
            {"state_keys": (10, 0)},
            "state_keys is on rocm:0; expected a CUDA device: arrays on the host are for "
            "graphgpo.compute_advantages and graphgpo.state_keys",
        ),
        (
            {"success": (15, 0)},
            "success is on DLPack's device type 15:0; expected cuda:1, the device of state_keys",
        ),
    ],
)
def test_all_columns_must_be_on_one_gpu(places: dict[str, tuple[int, int]], text: str) -> None:
    names = ["state_keys", "group_ids", "trajectory_ids", "success", "rewards", "mask"]
    columns: dict[str, Any] = {name: Elsewhere(places.get(name, (2, 1))) for name in names}
    with pytest.raises(ValueError, match=re.escape(text)) as caught:
        cuda.compute_advantages(**columns)
    assert str(caught.value) == text


@pytest.mark.usefixtures("gpu_to_look_at")
@pytest.mark.parametrize(
    ("stream", "number"),
    [
        (None, 1),  # the legacy default stream, in DLPack's numbers
        (0, 1),
        (1, 1),
        (2, 2),  # the default stream of the thread
        (12345, 12345),
        (SimpleNamespace(cuda_stream=77), 77),
        (SimpleNamespace(ptr=78), 78),
        (SimpleNamespace(__cuda_stream__=lambda: (0, 79)), 79),
        (SimpleNamespace(cuda_stream=0), 1),
    ],
)
def test_producers_are_told_the_stream_that_reads_their_columns(stream: Any, number: int) -> None:
    keys = Elsewhere((2, 0))
    names = ("state_keys", "group_ids", "trajectory_ids", "success")
    columns: dict[str, Any] = dict.fromkeys(names, keys)
    with pytest.raises(TypeError, match="state_keys cannot be read by DLPack: not an array"):
        cuda.compute_advantages(**columns, stream=stream)
    assert keys.stream == number


@pytest.mark.usefixtures("gpu_to_look_at")
def test_torch_tensors_are_read_on_torchs_current_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    class Tensor(Elsewhere):
        dtype = torch.int64

        def detach(self) -> Tensor:
            return self

        def numpy(self) -> Any:
            raise AssertionError

    keys: Any = Tensor((2, 0))
    keys.device = torch.device("cuda:0")
    monkeypatch.setattr(keys, "__dlpack_device__", lambda: (2, 0), raising=False)
    monkeypatch.setattr(Tensor, "__dlpack_device__", lambda self: (2, 0))
    asked: list[Any] = []

    def current_stream(device: Any) -> Any:
        asked.append(device)
        return SimpleNamespace(cuda_stream=4711)

    monkeypatch.setattr(torch.cuda, "current_stream", current_stream)
    with pytest.raises(TypeError, match="states cannot be read by DLPack"):
        graphgpo.compute_advantages(keys, group_ids=keys, trajectory_ids=keys, success=keys)
    assert keys.stream == 4711
    assert asked == [torch.device("cuda:0")]


# The way here from graphgpo.compute_advantages


def test_keys_on_a_device_are_credited_there(device: Any) -> None:
    columns: dict[str, Any] = {name: to_device(values) for name, values in good().items()}
    keys, next_keys = columns.pop("state_keys"), columns.pop("next_state_keys")
    result: Any = graphgpo.compute_advantages(keys, next_keys, **columns, omega=0.5)
    assert isinstance(result, cuda.DeviceAdvantages)
    assert_same(to_host(result), on_cpu(good(), omega=0.5))


def test_errors_there_have_the_names_of_the_call(device: Any) -> None:
    columns: dict[str, Any] = {name: to_device(values) for name, values in good().items()}
    keys, next_keys = columns.pop("state_keys"), columns.pop("next_state_keys")
    with pytest.raises(ValueError, match=r"^states has shape \(3, 1\); expected \(N,\)"):
        graphgpo.compute_advantages(to_device(np.zeros((3, 1), int)), next_keys, **columns)
    with pytest.raises(TypeError, match=r"^success is a list; expected an array on a GPU"):
        graphgpo.compute_advantages(keys, next_keys, **{**columns, "success": [False] * 3})


def test_a_row_argument_has_the_name_of_the_cpu_call_but_for_the_keys() -> None:
    others = {"config", "num_threads", "options", "stream", "next_state_known"}

    def names(function: object) -> list[str]:
        parameters = inspect.signature(function).parameters  # type: ignore[arg-type]
        return [re.sub(r"states$", "state_keys", n) for n in parameters if n not in others]

    assert names(cuda.compute_advantages) == names(graphgpo.compute_advantages)


# torch on a GPU


def torch_columns(arrays: Arrays) -> dict[str, Any]:
    if not torch.cuda.is_available():
        pytest.skip("torch has no GPU here")
    return {name: torch.from_numpy(values).cuda() for name, values in arrays.items()}


@pytest.mark.parametrize("device", GPUS, indirect=True)
def test_cuda_tensors_are_credited_where_they_are(device: Any) -> None:
    columns = torch_columns(walks())
    keys, next_keys = columns.pop("state_keys"), columns.pop("next_state_keys")
    del columns["next_state_known"]
    result: Any = graphgpo.compute_advantages(keys, next_keys, **columns)
    advantages = from_dlpack(result.advantages)
    assert advantages.device == keys.device
    assert advantages.data_ptr() == result.advantages.pointer
    np.testing.assert_allclose(advantages.cpu().numpy(), on_cpu(walks()).advantages, atol=1e-6)


@pytest.mark.parametrize("device", GPUS, indirect=True)
def test_work_pending_on_a_stream_is_waited_for(device: Any) -> None:
    columns = torch_columns(walks())
    expected = on_cpu(walks()).advantages
    new_stream: Any = torch.cuda.Stream
    for reader in (None, new_stream()):
        writer = new_stream()
        writer.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(writer):
            keys = torch.zeros_like(columns["state_keys"])
            torch.cuda._sleep(100_000_000)  # type: ignore[no-untyped-call]
            keys += columns["state_keys"]
            result = cuda.compute_advantages(**{**columns, "state_keys": keys}, stream=reader)
            advantages = from_dlpack(result.advantages).cpu().numpy()
        np.testing.assert_allclose(advantages, expected, atol=1e-6)


# Without a device


@pytest.fixture
def not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hidden:
        """Finds nothing where the module would be."""

        def find_spec(self, name: str, path: object = None, target: object = None) -> None:
            if name == "graphgpo._cuda":
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.delitem(sys.modules, "graphgpo._cuda", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Hidden(), *sys.meta_path])


NOT_BUILT = (
    "graphgpo was built without CUDA: build it with `pip install . -C "
    "cmake.define.GRAPHGPO_CUDA=ON`, or call .cpu() on the tensors"
)


@pytest.mark.usefixtures("not_built")
def test_a_build_without_cuda_says_so_and_how_to_get_one() -> None:
    assert not cuda.is_available()
    assert cuda.status() == cuda.Status("not_built", NOT_BUILT)
    assert str(cuda.status()) == NOT_BUILT
    columns: dict[str, Any] = good()
    for call in (
        lambda: cuda.compute_advantages(**columns),
        lambda: cuda.state_keys(np.zeros((3, 2))),
        lambda: graphgpo.compute_advantages(Interface(np.zeros(3)), **take_ids(columns)),
    ):
        with pytest.raises(cuda.DeviceError) as caught:
            call()
        assert str(caught.value) == NOT_BUILT
        assert caught.value.status.name == "not_built"


def take_ids(columns: dict[str, Any]) -> dict[str, Any]:
    return {name: columns[name] for name in ("group_ids", "trajectory_ids", "success")}


@pytest.mark.usefixtures("not_built")
def test_wrong_options_are_found_without_cuda_too() -> None:
    columns: dict[str, Any] = good()
    with pytest.raises(ValueError, match="omega is 2; expected a number with 0 < omega < 1"):
        cuda.compute_advantages(**columns, omega=2)


def test_a_module_that_cannot_be_loaded_is_a_status(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def find_spec(self, name: str, path: object = None, target: object = None) -> None:
            if name == "graphgpo._cuda":
                raise ImportError("libc.so.7: cannot open shared object file", name=name)

    monkeypatch.delitem(sys.modules, "graphgpo._cuda", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    assert cuda.status() == cuda.Status(
        "failed", "graphgpo._cuda cannot be loaded: libc.so.7: cannot open shared object file"
    )


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        (
            "driver_missing",
            "no NVIDIA driver, or one older than the CUDA that graphgpo was built with",
        ),
        ("no_device", "no such GPU, or a hidden one"),
        ("unsupported_architecture", "graphgpo was built for other GPUs than this one"),
        ("out_of_memory", "the GPU has not enough memory left"),
        ("failed", "CUDA failed"),
    ],
)
def test_what_is_wrong_with_the_device_is_a_device_error_with_its_status(
    monkeypatch: pytest.MonkeyPatch, name: Any, meaning: str
) -> None:
    class NativeError(RuntimeError):
        pass

    def fail(**arguments: Any) -> Any:
        raise NativeError(name, "as CUDA has it")

    rows = SimpleNamespace(pointer=0, dtype="int64", shape=(3, 2), strides=None)
    module: Any = SimpleNamespace(
        DEVICE_TYPE=1,
        DeviceError=NativeError,
        status=lambda device: (name, f"GPU {device}"),
        TensorView=lambda capsule: rows,
        Memory=fail,
    )
    monkeypatch.setitem(sys.modules, "graphgpo._cuda", module)
    assert cuda.status(2) == cuda.Status(name, f"{meaning} (GPU 2)")
    assert not cuda.is_available(2)
    with pytest.raises(cuda.DeviceError) as caught:
        cuda.state_keys(np.zeros((3, 2), int))
    assert caught.value.status == cuda.Status(name, f"{meaning} (as CUDA has it)")
    assert str(caught.value) == f"{meaning} (as CUDA has it)"
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.status, str(again)) == (caught.value.status, str(caught.value))


def test_errors_that_are_not_the_devices_stay_as_they_are(
    twin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**arguments: Any) -> Any:
        raise RuntimeError("a bug")

    broken: Any = SimpleNamespace(**{**vars(twin), "state_keys": fail})
    monkeypatch.setitem(sys.modules, "graphgpo._cuda", broken)
    with pytest.raises(RuntimeError, match=r"^a bug$"):
        cuda.state_keys(np.zeros((3, 2), int))


def test_a_device_that_does_not_exist_is_a_status(device: Any) -> None:
    assert cuda.status(0).name == "ok"
    assert cuda.is_available()
    assert cuda.status(0).reason
    assert cuda.status(1000).name == "no_device"


def test_importing_graphgpo_loads_nothing_of_a_device() -> None:
    program = (
        "import sys, graphgpo; assert graphgpo.cuda.compute_advantages\n"
        "print([name for name in sys.modules if 'graphgpo._cuda' in name])"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout == "[]\n"


def test_the_native_module_has_no_defaults_and_no_positional_arguments(device: Any) -> None:
    for name in ("compute_advantages", "state_keys", "status", "to_dlpack", "wait", "device_of"):
        signature = (getattr(device, name).__doc__ or "").splitlines()[0]
        assert "(*, " in signature
        assert " = " not in signature
