"""Nothing waits for a device. What stands in for one: meta tensors, which have no values to wait
for, and the CPU, of which the package is told that it is one.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from token_cases import (
    EVERY_OPTION,
    REDUCTIONS,
    arguments_of,
    packed,
    random_tokens,
    reduced,
    untyped,
)
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

import graphgpo
from graphgpo.torch import (
    arguments,
    objective,
    policy_loss,
    spans,
    spans_to_tokens,
    to_tokens,
    tokens_without_span,
)

VALUES, ROWS = torch.tensor([1.0, 2, 3, 4]), torch.tensor([1, 0, 1, 9])
STARTS, STOPS = torch.tensor([0, 2, 3, 0]), torch.tensor([2, 9, 3, 1])
MASK = torch.tensor([[1, 1, 0, 1], [0, 1, 1, 1]])


@pytest.fixture
def unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU is a device: its values are not looked at."""
    for module in (arguments, objective):
        monkeypatch.setattr(module, "is_readable", lambda tensor: False)
    for module in (arguments, spans):
        monkeypatch.setattr(module, "is_on_device", lambda x: isinstance(x, torch.Tensor))


class Result:
    """What the device path returns: advantages on the device."""

    def __init__(self, advantages: torch.Tensor) -> None:
        self.advantages = advantages


# --- nothing waits --------------------------------------------------------------------------------


def calls(place: Any, **options: Any) -> Any:
    """Every function once, on tensors that `place` puts somewhere."""
    log_probs, mask = place(torch.zeros(2, 4)), place(MASK)
    columns = [place(x) for x in (ROWS, STARTS, STOPS)]
    everything: dict[str, Any] = {
        "ref_log_probs": log_probs,
        "dual_clip": 3.0,
        "ratio": "sequence",
        "reduction": "group_mean",
        "group_ids": place(torch.tensor([5, 5])),
        "num_groups": place(torch.tensor(3)),
    }
    flat = log_probs.flatten()
    return [
        to_tokens(place(torch.ones(2)), mask),
        to_tokens(Result(place(torch.ones(2))), mask),
        to_tokens(place(torch.ones(2)), [mask[0], mask[1]])[1],
        untyped(spans_to_tokens)(place(VALUES), *columns, response_mask=mask),
        untyped(spans_to_tokens)(place(VALUES), *columns, (2, 4)),
        untyped(tokens_without_span)(*columns, mask),
        policy_loss(log_probs, log_probs, log_probs, mask)[0],
        policy_loss(log_probs, log_probs, log_probs, mask, **everything)[0],
        *policy_loss(log_probs, log_probs, log_probs, mask, num_tokens=9)[1].values(),
        policy_loss(
            flat,
            flat,
            flat,
            mask.flatten(),
            reduction="sequence_mean",
            cu_seqlens=place(torch.tensor([0, 4, 8])),
        )[0],
    ]


def test_nothing_waits_for_a_device() -> None:
    found = calls(lambda tensor: tensor.to("meta"))
    assert {tensor.device.type for tensor in found} == {"meta"}


def test_values_in_host_memory_go_to_the_device_and_are_checked_before() -> None:
    mask = torch.ones(1, 2, device="meta")
    assert to_tokens([1.0], mask).device.type == "meta"
    assert spans_to_tokens([1.0], [0], [0], [2], response_mask=mask).device.type == "meta"
    assert tokens_without_span([0], [0], [2], mask).device.type == "meta"
    with pytest.raises(ValueError, match=r"^starts\[0\] is -1"):
        spans_to_tokens([1.0], [0], [-1], [2], response_mask=mask)
    with pytest.raises(ValueError, match=r"^step_values\[0\] is nan"):
        to_tokens([math.nan], mask)


def test_nor_does_the_backward_pass() -> None:
    log_probs = torch.zeros(2, 4, device="meta", requires_grad=True)
    mask = MASK.to("meta")
    loss, _ = policy_loss(log_probs, log_probs, log_probs, mask, ref_log_probs=log_probs)
    loss.backward()  # type: ignore[no-untyped-call]
    assert log_probs.grad is not None
    assert log_probs.grad.device.type == "meta"


# --- and the answer is the same -------------------------------------------------------------------


def test_the_answer_of_a_device_is_that_of_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = calls(lambda tensor: tensor)
    for module in (arguments, objective):
        monkeypatch.setattr(module, "is_readable", lambda tensor: False)
    for module in (arguments, spans):
        monkeypatch.setattr(module, "is_on_device", lambda x: isinstance(x, torch.Tensor))
    torch.testing.assert_close(calls(lambda tensor: tensor), expected, rtol=0, atol=0)


@pytest.mark.parametrize("seed", range(30))
def test_spans_of_a_device_are_those_of_the_host(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = torch.Generator().manual_seed(seed)
    cuts = torch.randint(0, 12, (3, 8), generator=generator).sort(1).values
    rows = torch.arange(-1, 2).repeat_interleave(7)  # one row of the three is another rank's
    order = torch.randperm(21, generator=generator)
    starts, stops = cuts[:, :-1].flatten()[order], cuts[:, 1:].flatten()[order]
    columns: Any = (torch.randn(21, generator=generator), rows[order], starts, stops, (2, 9))
    expected = spans_to_tokens(*columns)
    monkeypatch.setattr(arguments, "is_readable", lambda tensor: False)
    for module in (arguments, spans):
        monkeypatch.setattr(module, "is_on_device", lambda x: isinstance(x, torch.Tensor))
    assert torch.equal(spans_to_tokens(*columns), expected)


# --- what a value breaks is NaN -------------------------------------------------------------------


@pytest.mark.usefixtures("unreadable")
@pytest.mark.parametrize("entry", [-100, -1e-9, math.nan])
def test_a_mask_that_is_none_makes_all_tokens_nan(entry: float) -> None:
    mask = torch.tensor([[1.0, 0, entry], [0, 1, 1]])
    assert to_tokens(torch.ones(2), mask)[1].isnan().tolist() == [False, True, True]
    columns: Any = (
        torch.ones(1),
        torch.zeros(1).long(),
        torch.zeros(1).long(),
        torch.ones(1).long(),
    )
    tokens = spans_to_tokens(*columns, response_mask=mask)
    assert tokens[1].isnan().tolist() == [False, True, True]


@pytest.mark.usefixtures("unreadable")
@pytest.mark.parametrize(
    ("starts", "stops"),
    [([0, 1], [2, 3]), ([0, -1], [1, 3]), ([0, 3], [1, 2])],
    ids=["overlap", "negative start", "stop before start"],
)
def test_spans_that_are_none_make_all_tokens_nan(starts: list[int], stops: list[int]) -> None:
    columns = [torch.tensor(x) for x in ([0, 0], starts, stops)]
    assert untyped(spans_to_tokens)(torch.ones(2), *columns, (1, 4)).isnan().all()


@pytest.mark.usefixtures("unreadable")
def test_values_that_are_not_finite_go_to_their_tokens() -> None:
    values = torch.tensor([math.nan, 1e300, 1.0], dtype=torch.float64)
    tokens = to_tokens(values, torch.ones(3, 1))
    assert tokens.isnan().tolist() == [[True], [False], [False]]
    assert tokens[1:].tolist() == [[math.inf], [1.0]]


def spoiled_calls() -> dict[str, Any]:
    t = random_tokens(0)
    one: Any = (t["log_probs"], *arguments_of(t))
    labels = torch.where(t["mask"], 7, -100)
    nan_mask = torch.where(t["mask"], 1.0, math.nan)
    flat = [packed(x, [5] * 4) for x in one]
    return {
        "labels": lambda x: untyped(policy_loss)(x, *one[1:3], labels)[0],
        "nan": lambda x: untyped(policy_loss)(x, *one[1:3], nan_mask)[0],
        "num_tokens": lambda x: untyped(policy_loss)(x, *one[1:], num_tokens=torch.tensor(-1))[0],
        "offsets": lambda x: untyped(policy_loss)(
            x.flatten(), *flat[1:], cu_seqlens=torch.tensor([0, 9, 5, 21])
        )[0],
        "offsets of rows": lambda x: untyped(policy_loss)(
            x.flatten(),
            *flat[1:],
            cu_seqlens=torch.tensor([3, 9, 5, 90]),
            reduction="sequence_mean",
        )[0],
    }


@pytest.mark.usefixtures("unreadable")
@pytest.mark.parametrize("name", spoiled_calls())
def test_a_loss_of_values_that_do_not_fit_is_nan_with_its_gradient(name: str) -> None:
    log_probs = random_tokens(0)["log_probs"].requires_grad_()
    loss = spoiled_calls()[name](log_probs)
    loss.backward()
    assert loss.isnan()
    assert log_probs.grad is not None
    assert log_probs.grad.isnan().all()


@pytest.mark.usefixtures("unreadable")
def test_so_are_its_metrics() -> None:
    ones = torch.ones(1, 2)
    _, metrics = policy_loss(ones, ones, ones, -ones)
    assert all(value.isnan() for value in metrics.values())


def test_function_transforms_and_the_compiler_say_nan_too() -> None:
    call = spoiled_calls()["labels"]
    log_probs = random_tokens(0)["log_probs"]
    gradient: torch.Tensor = torch.func.grad(call)(log_probs)
    assert gradient.isnan()[random_tokens(0)["mask"]].all()
    torch.compiler.reset()
    compiled: Any = torch.compile(call, backend="aot_eager", fullgraph=True)
    assert compiled(log_probs).isnan()


# --- modes of torch -------------------------------------------------------------------------------


def test_inference_mode_changes_nothing() -> None:
    expected = calls(lambda tensor: tensor)
    with torch.inference_mode():
        inside = calls(lambda tensor: tensor.clone())
    torch.testing.assert_close(inside, expected, rtol=0, atol=0)


def test_tokens_from_inference_mode_can_be_trained_on() -> None:
    with torch.inference_mode():
        mask = MASK.clone()
        advantages = to_tokens([1.0, -1.0], mask)
    log_probs = torch.zeros(2, 4, requires_grad=True)
    policy_loss(log_probs, torch.zeros(2, 4), advantages, mask)[0].backward()  # type: ignore[no-untyped-call]
    assert log_probs.grad is not None
    assert log_probs.grad.any()


# What torch refuses on CUDA under deterministic algorithms, of the kind that is used here.
UNREPEATABLE = {"cumsum", "cumsum_", "put_", "kthvalue", "histc", "median", "bincount"}


@pytest.mark.filterwarnings("error")
def test_deterministic_algorithms_change_nothing() -> None:
    expected = calls(lambda tensor: tensor)
    torch.use_deterministic_algorithms(True)
    try:
        inside = calls(lambda tensor: tensor)
    finally:
        torch.use_deterministic_algorithms(False)
    torch.testing.assert_close(inside, expected, rtol=0, atol=0)


@pytest.mark.usefixtures("unreadable")
def test_no_operation_is_one_that_deterministic_algorithms_refuse() -> None:
    class Refuse(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            name = func.overloadpacket.__name__
            is_exact = name.startswith("cumsum") and not args[0].is_floating_point()
            assert name not in UNREPEATABLE or is_exact, name
            return func(*args, **(kwargs or {}))

    with Refuse():  # type: ignore[no-untyped-call]
        calls(lambda tensor: tensor)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_loss_without_a_look_at_values_is_the_loss(
    reduction: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    t = random_tokens(3)
    results = []
    for _ in range(2):
        log_probs = t["log_probs"].clone().requires_grad_()
        loss, metrics = untyped(policy_loss)(
            log_probs,
            *arguments_of(t),
            ref_log_probs=t["ref"],
            **EVERY_OPTION,
            **reduced(reduction),
        )
        loss.backward()
        results.append((loss.detach(), metrics, log_probs.grad))
        for module in (arguments, objective):
            monkeypatch.setattr(module, "is_readable", lambda tensor: False)
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=0)


# --- the capture of a graph -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "function", ["to_tokens", "spans_to_tokens", "tokens_without_span", "policy_loss"]
)
def test_a_capture_is_refused_before_anything_is_touched(
    function: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (
        f"{function} was called while a CUDA graph is captured; expected a call outside of the "
        "capture, which may then read the tensors it returned"
    )
    with FakeTensorMode():  # tensors that say they are on a GPU
        ones, column = torch.empty(2, 4, device="cuda"), torch.empty(2, device="cuda")
        places = [column.long()] * 3
        by_name: dict[str, Any] = {
            "to_tokens": lambda: to_tokens(column, ones),
            "spans_to_tokens": lambda: untyped(spans_to_tokens)(column, *places, (2, 4)),
            "tokens_without_span": lambda: untyped(tokens_without_span)(*places, ones),
            "policy_loss": lambda: policy_loss(ones, ones, ones, ones),
        }
        operations: list[Any] = []

        class Count(TorchDispatchMode):  # type: ignore[no-untyped-call]
            def __torch_dispatch__(
                self, func: Any, types: Any, args: Any = (), kwargs: Any = None
            ) -> Any:
                operations.append(func)
                return func(*args, **(kwargs or {}))

        monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
        with Count(), pytest.raises(RuntimeError) as caught:  # type: ignore[no-untyped-call]
            by_name[function]()
        assert str(caught.value) == text
        assert operations == []


def test_host_memory_does_not_ask_whether_a_graph_is_captured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def asked() -> bool:
        raise AssertionError

    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", asked)
    calls(lambda tensor: tensor)


def test_a_result_of_the_library_stays_what_it_is() -> None:
    result = graphgpo.compute_advantages(
        ["a", "a"], group_ids=[0, 0], trajectory_ids=[0, 1], success=[True, False]
    )
    tokens = spans_to_tokens(result, [0, 1], [0, 0], [1, 1], (2, 1))
    assert tokens[:, 0].tolist() == result.advantages.tolist()
