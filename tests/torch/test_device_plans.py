"""Plans in torch operations: as the core computes them, on the CPU and on a GPU if there is one."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import warnings
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from device_cases import BOARDS, DTYPES
from hypothesis import given, settings
from hypothesis import strategies as st

import graphgpo
import worlds
from batches import (
    Columns,
    Only,
    assert_same_bits,
    batches,
    chosen_estimator,
    is_batch_wide,
    num_rows,
    random_walks,
    rollouts,
    take,
    with_padding,
)
from examples_of import an_estimator
from graphgpo import Rollouts, StepAdvantages, estimators
from graphgpo.blocks import BellmanMean, Difference, Given, Mean, NewStates, Task, Term
from graphgpo.torch import device
from graphgpo.torch.device import columns as device_columns

HOST = torch.device("cpu")
DEVICES = ["cpu", *(["cuda"] if device.is_available() else [])]
FEW = settings(max_examples=6)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Batches are tiny: a second thread of torch only waits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def on(where: str, columns: Columns, **chosen: Any) -> StepAdvantages:
    return device.to_host(device.compute_advantages(**columns, device=where, **chosen))


def assert_agree(result: StepAdvantages, core: StepAdvantages) -> None:
    for name in ("state_ids", "next_state_ids", "num_peers", "distances", "next_distances"):
        np.testing.assert_array_equal(getattr(result, name), getattr(core, name), err_msg=name)
        assert getattr(result, name).dtype == getattr(core, name).dtype
    np.testing.assert_allclose(result.scores, core.scores, rtol=2e-9, atol=2e-9)
    for name in ("advantages", "step_advantages", "episode_advantages"):
        values, expected = getattr(result, name), getattr(core, name)
        np.testing.assert_allclose(values, expected, rtol=1e-6, atol=1e-6, err_msg=name)
        assert values.dtype == expected.dtype
    assert list(result.metrics) == list(core.metrics)
    assert result.metrics == pytest.approx(core.metrics, rel=1e-5, abs=2e-6)


# --- as the core ----------------------------------------------------------------------------------


@pytest.mark.parametrize("where", DEVICES)
@pytest.mark.parametrize("name", estimators.names())
def test_every_estimator_is_the_cores(where: str, name: str) -> None:
    columns, estimator = random_walks(5), an_estimator(name)
    core = graphgpo.compute_advantages(**columns, estimator=estimator)
    assert_agree(on(where, columns, estimator=estimator), core)


@pytest.mark.parametrize("where", DEVICES)
@FEW
@given(data=st.data(), batch=batches())
def test_random_batches_agree_with_the_core(
    where: str, data: st.DataObject, batch: tuple[Columns, Columns]
) -> None:
    columns, chosen = batch
    rows = num_rows(columns)
    padded, _ = with_padding(columns, data.draw(st.lists(st.integers(0, rows - 1), max_size=3)))
    columns = take(padded, data.draw(st.permutations(range(rows + 1))))
    core = graphgpo.compute_advantages(**columns, **chosen)
    assert_agree(on(where, columns, **chosen), core)


@pytest.mark.parametrize("where", DEVICES)
@FEW
@given(data=st.data(), batch=batches())
def test_laws_hold_bit_for_bit(
    where: str, data: st.DataObject, batch: tuple[Columns, Columns]
) -> None:
    columns, chosen = batch
    whole = on(where, columns, **chosen)
    again = on(where, columns, **chosen)
    assert_same_bits(again, whole)
    assert again.metrics == whole.metrics
    order = data.draw(st.permutations(range(num_rows(columns))))
    assert_same_bits(on(where, take(columns, order), **chosen), whole, order)
    padded, originals = with_padding(columns, [0, num_rows(columns) - 1])
    copied = on(where, padded, **chosen)
    for field in ("advantages", "scores", "distances", "num_peers", "state_ids"):
        expected = getattr(whole, field)[originals[:-1]]
        np.testing.assert_array_equal(getattr(copied, field)[:-1], expected)
    if not is_batch_wide(chosen):
        rows = [i for i, g in enumerate(columns["group_ids"]) if g == columns["group_ids"][-1]]
        assert_same_bits(on(where, take(columns, rows), **chosen), whole, rows)


@FEW
@given(columns=rollouts())
def test_equal_scores_among_peers_have_exactly_no_credit(columns: Columns) -> None:
    for score in (BellmanMean(0.9), BellmanMean(0.98, failed_end="state")):
        term = Term(Difference(score, 0.9), normaliser=Mean())
        result = on("cpu", columns, estimator=Only(term=term))
        for state in np.unique(result.state_ids):
            peers = result.state_ids == state
            if len(set(result.scores[peers])) == 1:
                assert not result.step_advantages[peers].any()


# --- tensors --------------------------------------------------------------------------------------


def tensors(columns: Columns) -> Columns:
    """The worked columns as tensors: text by its numbers."""
    found: Columns = {}
    rooms = {room: i for i, room in enumerate(sorted({*columns["states"]}))}
    for name, values in columns.items():
        if isinstance(values[0], str):
            values = [rooms.setdefault(value, len(rooms)) for value in values]
        found[name] = torch.tensor(values)
    return found


def test_tensors_of_every_column_need_no_copy_in_host_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    columns = tensors(random_walks(3))
    core = {
        name: graphgpo.compute_advantages(**columns, estimator=an_estimator(name))
        for name in ("graphgpo", "salt", "tree_grpo")
    }
    monkeypatch.setattr(device_columns, "_add_from_host", lambda c, on_host, t: on_host)
    for name, expected in core.items():
        assert_agree(on("cpu", columns, estimator=an_estimator(name)), expected)


ONE_GROUP: Columns = {
    "group_ids": torch.tensor([7, 7, 7, 7]),
    "trajectory_ids": torch.tensor([0, 0, 1, 1]),
    "success": torch.tensor([True, True, False, False]),
}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_states_are_scalars_or_rows_of_any_dtype(dtype: torch.dtype) -> None:
    boards = BOARDS.to(dtype)
    for states in (boards, boards[:, 0, 0].contiguous(), boards[:, 0]):
        columns = {**ONE_GROUP, "states": states, "next_states": states.roll(-1, 0)}
        core = graphgpo.compute_advantages(**columns)
        assert_agree(on("cpu", columns), core)


def test_rows_whose_hashes_collide_are_still_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = {**ONE_GROUP, "states": BOARDS}
    expected = on("cpu", columns)
    monkeypatch.setattr(device_columns, "stable_keys", lambda rows: torch.zeros(len(rows)).long())
    assert_same_bits(on("cpu", columns), expected)


def test_negative_zero_is_zero() -> None:
    states = torch.tensor([0.0, -0.0, -0.0, 1.0])
    for shaped in (states, states[:, None]):
        assert on("cpu", {**ONE_GROUP, "states": shaped}).state_ids.tolist() == [0, 0, 0, 2]


def test_results_are_tensors_and_to_host_makes_them_arrays() -> None:
    result: Any = device.compute_advantages(**ONE_GROUP, states=BOARDS, device="cpu")
    assert result.advantages.dtype == torch.float32
    assert result.num_peers.dtype == torch.int32
    assert isinstance(device.to_host(result).advantages, np.ndarray)
    assert len(result) == 4
    assert repr(result).startswith("StepAdvantages(4 steps, 2 rollouts, 1 group;")


def test_an_empty_batch_is_an_empty_result() -> None:
    none = torch.zeros(0, dtype=torch.int64)
    empty = dict.fromkeys(("states", "group_ids", "trajectory_ids", "step_ids"), none)
    for columns in (
        {**empty, "success": none.bool()},
        {**empty, "success": none.bool(), "next_states": none},
        {**empty, "success": []},
    ):
        core = graphgpo.compute_advantages(**columns)
        assert_agree(on("cpu", columns), core)
        assert_agree(
            on("cpu", columns, estimator="hgpo"),
            graphgpo.compute_advantages(**columns, estimator="hgpo"),
        )


# --- the public entries ---------------------------------------------------------------------------


@pytest.fixture
def every_tensor_is_on_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU is taken for a device."""

    def stands_for_a_device(values: object) -> bool:
        return isinstance(values, torch.Tensor)

    monkeypatch.setattr("graphgpo.rollouts.is_on_a_device", stands_for_a_device)


@pytest.mark.usefixtures("every_tensor_is_on_a_device")
def test_tensors_on_a_device_are_computed_there_and_nothing_else_is() -> None:
    columns = {**ONE_GROUP, "states": BOARDS}
    assert isinstance(graphgpo.compute_advantages(**columns).advantages, torch.Tensor)
    listed: Columns = {name: np.asarray(values) for name, values in columns.items()}
    assert isinstance(graphgpo.compute_advantages(**listed).advantages, np.ndarray)


@pytest.mark.usefixtures("every_tensor_is_on_a_device")
def test_rollouts_on_a_device_answer_as_those_in_host_memory() -> None:
    columns: Columns = {**ONE_GROUP, "states": BOARDS}
    there = Rollouts(**columns)
    listed: Columns = {name: np.asarray(values) for name, values in columns.items()}
    here = Rollouts(**listed)
    assert len(there) == 4
    assert repr(there) == repr(here)
    compared = there.compare(["grpo", "gigpo", "grpo"])
    for name, expected in here.compare(["grpo", "gigpo", "grpo"]).items():
        assert_agree(device.to_host(compared[name]), expected)
    assert there.node_ids()[0].tolist() == here.node_ids()[0].tolist()
    np.testing.assert_array_equal(there.graph().node_distances, here.graph().node_distances)
    assert str(there.explain(0)) == str(here.explain(0))


def counted_turns() -> Columns:
    """Walks over boards that show the turn: hardly two of them meet."""
    random = np.random.default_rng(0)
    turn = np.tile(np.arange(8), 40)
    rooms = random.integers(0, 4, 320)
    rollout = np.repeat(np.arange(40), 8)
    return {
        "states": torch.from_numpy(np.stack([turn, rooms], 1)),
        "actions": torch.from_numpy(rooms),
        "group_ids": torch.from_numpy(rollout // 8),
        "trajectory_ids": torch.from_numpy(rollout),
        "success": torch.from_numpy(rollout % 3 == 0),
    }


def counted_shop() -> Columns:
    """Texts with a step counter."""
    return worlds.with_success(worlds.ticket_shop("counter"), lambda state: "Paid" in state)


@pytest.mark.usefixtures("every_tensor_is_on_a_device")
@pytest.mark.parametrize("name", ["graphgpo", "grpo", "spread"])
def test_problems_of_a_device_are_those_of_host_memory(name: str) -> None:
    columns = counted_turns()
    listed: Columns = {name: np.asarray(values) for name, values in columns.items()}
    here = graphgpo.compute_advantages(**listed, estimator=name)
    there: Any = graphgpo.compute_advantages(**columns, estimator=name)
    assert isinstance(there.advantages, torch.Tensor)
    assert there.problems().text() == here.problems().text()
    assert ("one position" in there.problems().names) == (name != "grpo")
    assert repr(there) == repr(here)
    assert device.to_host(there).problems() == there.problems()


def test_a_result_keeps_columns_alive_and_nothing_computed_of_them() -> None:
    batch = device.DeviceBatch(counted_turns(), HOST)
    result = batch.credit([an_estimator("graphgpo")])[0]
    computed = weakref.ref(batch._merged)
    del batch
    assert computed() is None
    assert len(result.problems()) > 0


def test_problems_of_texts_are_told_with_their_remedy() -> None:
    columns = counted_shop()
    found = device.compute_advantages(**columns, device="cpu").problems()
    assert found.text() == graphgpo.compute_advantages(**columns).problems().text()
    mended = {**columns, **found.named("noise").switch}
    assert device.compute_advantages(**mended, device="cpu").problems() == ()


@pytest.mark.usefixtures("fresh_process", "every_tensor_is_on_a_device")
def test_lost_credit_on_a_device_is_warned_of_once() -> None:
    columns = {**counted_shop(), "success": torch.tensor(counted_shop()["success"])}
    with pytest.warns(graphgpo.LostCreditWarning, match=r"write: normalise=\{'ignore'") as said:
        result: Any = graphgpo.compute_advantages(**columns)
    assert isinstance(result.advantages, torch.Tensor)
    assert [one.filename for one in said] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        graphgpo.compute_advantages(**columns)


def test_host_memory_stays_with_the_core() -> None:
    assert isinstance(
        graphgpo.compute_advantages(**ONE_GROUP, states=BOARDS).advantages, np.ndarray
    )


# --- errors ---------------------------------------------------------------------------------------

WRONG: dict[str, Columns] = {
    "a required column": {"group_ids": None},
    "a length": {"success": torch.tensor([True])},
    "a shape": {"success": torch.ones(4, 1)},
    "a number": {"success": torch.tensor(True)},
    "a dtype": {"states": torch.zeros(4, dtype=torch.complex64)},
    "half a state": {"states": torch.zeros(4, dtype=torch.bfloat16)},
    "a flag": {"success": torch.tensor([0, 1, 2, 0])},
    "an id": {"group_ids": torch.tensor([0.0, 1, 2, 3])},
    "a return": {"episode_returns": torch.tensor([0.0, 0, 1, math.inf])},
    "returns that differ": {"episode_returns": torch.tensor([0.0, 1, 1, 1])},
    "a reward": {"rewards": torch.tensor([0.0, math.nan, 1, 1])},
    "a cost": {"edge_costs": torch.tensor([1.0, 0, 1, 1])},
    "a state": {"states": torch.tensor([1.0, math.nan, 1, 1])},
    "a row": {"states": torch.tensor([[1.0], [1], [math.nan], [1]])},
    "a pair": {"next_states": torch.tensor([1.0, 2, 3, 4])},
    "a gap": {"step_ids": torch.tensor([0, 2, 0, 1])},
    "copies": {"step_ids": torch.tensor([0, 0, 0, 1])},
    "success in the middle": {"success": torch.tensor([True, False, False, False])},
    "a missing next state": {"states": list("abcd"), "next_states": [None, "x", "x", None]},
    "a missing state": {"states": ["a", None, "c", "d"]},
    "a verdict": {"success": [True, None, None, None]},
    "a number of rows": {"states": BOARDS[:3]},
    "masks": {"mask": torch.tensor([1, 1, 1, 5])},
    "costs that add up": {"edge_costs": [1e308] * 4},
    "rewards that add up": {"rewards": [1e308, 1e308, 0, 0]},
    "rewards that add up alike": {"rewards": [1e308] * 4},
    "rewards that nobody asks for": {
        "rewards": [1e308, 1e308, 0, 0],
        "estimator": Only(term=Term(NewStates())),
    },
    "a variance": {"rewards": [1e308, 0, -1e308, 0]},
    "a variance that nothing is divided by": {"rewards": [1e200, 0, 0, 0], "estimator": "rloo"},
    "an advantage": {"states": torch.tensor([1, 2, 1, 3]), "step_weight": 1e300},
    "an advantage of episodes": {"episode_weight": 1e300},
    "an edge return": {"omega": 1e-300, "exponent": "recipe", "edge_costs": [0.1] * 4}
    | {"success_reward": 1e200},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_errors_have_the_words_of_the_core(wrong: Columns) -> None:
    columns = {**ONE_GROUP, "states": torch.tensor([1, 2, 3, 4]), **wrong}
    with pytest.raises((TypeError, ValueError)) as expected:
        graphgpo.compute_advantages(**columns)
    with pytest.raises(type(expected.value)) as caught:
        device.compute_advantages(**columns, device="cpu")
    assert str(caught.value) == str(expected.value)
    assert caught.value.__context__ is None


def test_keys_of_any_real_dtype_are_read() -> None:
    columns = {**ONE_GROUP, "states": torch.tensor([1, 2, 1, 2])}
    columns["success"] = columns["success"].to(torch.bfloat16)
    for actions in (torch.tensor([1, 2, 3, 2]), torch.tensor([[1], [2], [3], [2]])):
        columns["actions"] = actions.to(torch.bfloat16)
        core = graphgpo.compute_advantages(**columns, estimator=an_estimator("salt"))
        assert_agree(on("cpu", columns, estimator=an_estimator("salt")), core)


def test_what_masked_rows_hold_is_not_looked_at() -> None:
    for wrong in ({"rewards": torch.tensor([0.0, 1, 1, math.nan])}, {"success": [1, 1, 0, None]}):
        columns = {**ONE_GROUP, "states": torch.tensor([1, 2, 3, 4]), **wrong}
        columns["mask"] = torch.tensor([True, True, True, False])
        assert_agree(on("cpu", columns), graphgpo.compute_advantages(**columns))


def test_missing_columns_and_options_are_refused_as_by_the_core() -> None:
    columns = {**ONE_GROUP, "states": BOARDS}
    with pytest.raises(ValueError, match=r"^actions is None; estimator 'salt' needs it"):
        device.compute_advantages(**columns, device="cpu", estimator="salt")
    with pytest.raises(TypeError, match=r"unknown option 'reward'.*did you mean 'rewards'"):
        device.compute_advantages(**columns, device="cpu", reward=1)


def test_states_are_on_the_device_or_in_host_memory_but_not_both() -> None:
    columns = {**ONE_GROUP, "states": torch.tensor([1, 2, 3, 4]), "next_states": [2, 3, 4, 5]}
    text = "only states is on cpu; expected states and next_states on the device, or neither"
    with pytest.raises(TypeError, match=f"^{text}$"):
        device.compute_advantages(**columns, device="cpu")


def test_columns_are_on_one_device() -> None:
    elsewhere = torch.zeros(4, dtype=torch.int64, device="meta")
    columns = {**ONE_GROUP, "states": BOARDS, "group_ids": elsewhere}
    with pytest.raises(ValueError, match=r"^group_ids is on meta; expected cpu, as other columns$"):
        device.compute_advantages(**columns, device="cpu")


@pytest.mark.usefixtures("every_tensor_is_on_a_device")
@pytest.mark.parametrize("option", [{"normalise": True}, {"similar": 0.9}, {"node_history": 2}])
def test_what_reads_texts_is_refused_on_a_device(option: dict[str, Any]) -> None:
    columns: Columns = {**ONE_GROUP, "states": BOARDS, **option}
    text = "^normalise, similar and node_history read texts, and there are none on a device; expect"
    with pytest.raises(ValueError, match=text):
        Rollouts(**columns)
    with pytest.raises(ValueError, match=text):
        device.compute_advantages(**columns, device="cpu")


def test_numbers_of_ones_own_are_tensors_arrays_or_functions_of_rollouts() -> None:
    values = [0.0, 1.0, 2.0, math.nan]
    expected = graphgpo.compute_advantages(
        **ONE_GROUP, states=BOARDS, estimator=Only(term=Term(Given(values), Task()))
    )
    for ours in (values, torch.tensor(values), np.array(values), lambda rollouts: values):
        only = Only(term=Term(Given(ours), Task()))
        assert_agree(on("cpu", {**ONE_GROUP, "states": BOARDS}, estimator=only), expected)
    short = Only(term=Term(Given(values[:3]), Task()))
    with pytest.raises(ValueError, match=r"shape \(3,\); expected \(4,\), one per row"):
        on("cpu", {**ONE_GROUP, "states": BOARDS}, estimator=short)


@pytest.mark.parametrize("wrong", [[0.5, 0.5, 2.0, 2.0], [0.5, math.nan, 0.0, 0.0]])
def test_boundary_values_are_refused_as_by_the_core(wrong: list[float]) -> None:
    only = Only(term=Term(Difference(BellmanMean(0.5, boundary=Given(wrong)))))
    columns = {**ONE_GROUP, "states": BOARDS}
    with pytest.raises(ValueError, match="boundary") as expected:
        graphgpo.compute_advantages(**columns, estimator=only)
    with pytest.raises(ValueError, match="boundary") as caught:
        on("cpu", columns, estimator=only)
    assert str(caught.value) == str(expected.value)


# --- under torch's modes --------------------------------------------------------------------------


def test_works_in_inference_mode_with_gradients_and_under_deterministic_algorithms() -> None:
    columns = {**ONE_GROUP, "states": BOARDS, "rewards": torch.ones(4, requires_grad=True)}
    expected = on("cpu", columns)
    with torch.inference_mode():
        assert_same_bits(on("cpu", columns), expected)
    torch.use_deterministic_algorithms(True)
    try:
        for name in ("hgpo", "salt"):
            on("cpu", {**columns, "actions": BOARDS}, estimator=an_estimator(name))
        assert_same_bits(on("cpu", columns), expected)
    finally:
        torch.use_deterministic_algorithms(False)


def test_the_default_dtype_changes_nothing() -> None:
    columns = random_walks(4)
    for name in ("crbc", "ecpo", "pgpo", "graphgpo", "spread"):
        expected = on("cpu", columns, estimator=an_estimator(name))
        torch.set_default_dtype(torch.float16)  # what is rounded to it would show
        try:
            assert_same_bits(on("cpu", columns, estimator=an_estimator(name)), expected)
        finally:
            torch.set_default_dtype(torch.float32)


def test_during_a_capture_nothing_is_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    untouchable: Any = object()
    text = "^compute_advantages was called while a CUDA graph is captured; expected a call outside"
    with pytest.raises(RuntimeError, match=text):
        device.DeviceBatch({"states": untouchable}, torch.device("cuda"))


def test_a_device_without_float64_is_refused() -> None:
    text = "the columns are on mps, which has no float64; expected them in host memory: tensor.cpu"
    with pytest.raises(TypeError, match=f"^{text}"):
        device.DeviceBatch({}, torch.device("mps"))


def test_asking_for_a_device_makes_no_context() -> None:
    code = (
        "import torch, graphgpo.torch.device as d\n"
        "print(d.is_available(), torch.cuda.is_initialized(), torch.cuda._is_in_bad_fork())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ}
    )
    assert done.stdout.split() == [str(device.is_available()), "False", "False"]


def test_estimators_of_a_comparison_share_what_they_read() -> None:
    columns = random_walks(1)
    batch = device.DeviceBatch(columns, HOST)
    both = batch.credit([an_estimator("gigpo"), an_estimator("graft")])
    for name, result in zip(("gigpo", "graft"), both, strict=True):
        expected = on("cpu", columns, estimator=an_estimator(name))
        assert_same_bits(device.to_host(result), expected)
    assert chosen_estimator({"estimator": "gigpo"}).terms()
