"""Advantages on tokens, and the loss that trains on them."""

from __future__ import annotations

import math
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import graphgpo
from graphgpo.torch import policy_loss, spans_to_tokens, to_tokens

REDUCTIONS = ["token_mean", "sequence_mean", "sequence_sum_mean"]

# --- to_tokens ------------------------------------------------------------------------------------


def test_every_token_of_a_step_gets_its_value() -> None:
    mask = torch.tensor([[0, 1, 1, 0], [1, 1, 1, 1], [0, 0, 0, 0]])
    tokens = to_tokens(np.array([0.5, -2.0, 7.0], np.float32), mask)
    assert tokens.tolist() == [[0, 0.5, 0.5, 0], [-2, -2, -2, -2], [0, 0, 0, 0]]
    assert tokens.dtype == torch.float32
    assert not tokens.requires_grad


@pytest.mark.parametrize("dtype", [torch.bool, torch.int64, torch.float32, torch.bfloat16])
def test_the_mask_selects_and_never_scales(dtype: torch.dtype) -> None:
    mask = torch.tensor([[1, 0, 1]]).to(dtype)
    assert to_tokens([3.0], mask).tolist() == [[3, 0, 3]]
    assert to_tokens([3.0], mask * 2 if dtype != torch.bool else mask).tolist() == [[3, 0, 3]]


def test_a_result_is_its_advantages() -> None:
    result = graphgpo.compute_advantages(
        ["a", "a"], group_ids=[0, 0], trajectory_ids=[0, 1], success=[True, False]
    )
    tokens = to_tokens(result, torch.ones(2, 3))
    assert tokens[:, 0].tolist() == result.advantages.tolist()


@pytest.mark.parametrize(
    "values",
    [
        [1.0, 2.0],
        torch.tensor([1, 2]),
        torch.tensor([1, 2], dtype=torch.bfloat16),
        torch.tensor([1.0, 9.0, 2.0])[::2],
        np.array([1, 2], ">f8"),
        np.array([1, 2.0], object),
    ],
    ids=["list", "ints", "bfloat16", "strided", "big-endian", "objects"],
)
def test_values_come_as_lists_arrays_and_tensors(values: Any) -> None:
    assert to_tokens(values, torch.ones(2, 1)).tolist() == [[1], [2]]


def test_a_list_of_masks_gives_a_list_of_rows() -> None:
    masks = [torch.tensor([1, 0, 1]), np.array([True]), [0, 1], torch.zeros(0)]
    tokens = to_tokens([1.0, 2.0, 3.0, 4.0], masks)
    assert [row.tolist() for row in tokens] == [[1, 0, 1], [2], [0, 3], []]
    assert {row.dtype for row in tokens} == {torch.float32}
    assert isinstance(to_tokens([1.0], (masks[0],)), tuple)


def test_a_jagged_mask_gives_its_own_structure() -> None:
    masks = [torch.tensor([1.0, 0, 1]), torch.zeros(0), torch.tensor([1.0])]
    jagged = torch.nested.nested_tensor(masks, layout=torch.jagged)
    tokens = to_tokens([1.0, 2.0, 3.0], jagged)
    assert tokens.layout == torch.jagged
    assert [row.tolist() for row in tokens.unbind()] == [[1, 0, 1], [], [3]]
    assert (tokens * jagged).values().tolist() == [1, 0, 1, 3]  # fails unless structures are one


def test_a_narrowed_jagged_mask_gives_its_rows_alone() -> None:
    starts, lengths = torch.tensor([1, 0]), torch.tensor([2, 3])
    narrowed = torch.nested.narrow(torch.ones(2, 4), 1, starts, lengths, layout=torch.jagged)
    tokens = to_tokens([1.0, 2.0], narrowed)
    assert [row.tolist() for row in tokens.unbind()] == [[1, 1], [2, 2, 2]]


def test_no_rows_and_no_columns_are_legal() -> None:
    assert to_tokens([], torch.zeros(0, 5)).shape == (0, 5)
    assert to_tokens([1.0], torch.zeros(1, 0)).shape == (1, 0)
    assert to_tokens([], []) == []
    assert spans_to_tokens([], [], [], [], (0, 5)).shape == (0, 5)
    assert spans_to_tokens([1.0], [0], [0], [1], (1, 0)).shape == (1, 0)


def test_tokens_are_on_the_device_of_the_mask_or_the_one_asked_for() -> None:
    assert to_tokens([1.0], torch.ones(1, 2, device="meta")).device.type == "meta"
    assert to_tokens([1.0], [torch.ones(2, device="meta")])[0].device.type == "meta"
    span: Any = ([1.0], [0], [0], [1], (1, 2))
    assert spans_to_tokens(*span).device.type == "cpu"
    assert spans_to_tokens(*span, device="meta").device.type == "meta"
    with torch.device("meta"):
        assert spans_to_tokens(*span).device.type == "meta"


def test_tokens_carry_no_gradient_and_share_no_memory() -> None:
    values = torch.ones(2, requires_grad=True)
    mask = torch.ones(2, 2, requires_grad=True)
    assert not to_tokens(values, mask).requires_grad
    tokens = spans_to_tokens(values, [0, 1], [0, 0], [2, 2], (2, 2))
    assert not tokens.requires_grad
    tokens.zero_()
    to_tokens(values, mask).zero_()
    assert values.tolist() == [1, 1]


# --- spans_to_tokens ------------------------------------------------------------------------------


def test_every_step_writes_its_span() -> None:
    tokens = spans_to_tokens(
        [1.0, 2.0, 3.0], rows=[1, 0, 1], starts=[0, 2, 3], stops=[2, 4, 5], shape=(2, 6)
    )
    assert tokens.tolist() == [[0, 0, 2, 2, 0, 0], [1, 1, 0, 3, 3, 0]]
    assert tokens.dtype == torch.float32


def test_spans_beyond_the_width_are_clipped_and_other_ranks_rows_ignored() -> None:
    tokens = spans_to_tokens(
        [1.0, 2.0, 3.0, 4.0],
        rows=[0, 0, -1, 5],
        starts=[2, 7, 0, 0],
        stops=[9, 9, 3, 3],
        shape=(1, 4),
    )
    assert tokens.tolist() == [[0, 0, 1, 1]]


def test_only_tokens_of_the_result_can_overlap() -> None:
    tokens = spans_to_tokens(
        [1.0, 2.0, 3.0, 4.0],
        rows=[0, 0, 7, 7],
        starts=[0, 4, 0, 0],
        stops=[9, 9, 2, 2],
        shape=(1, 4),
    )
    assert tokens.tolist() == [[1, 1, 1, 1]]


def test_a_row_of_its_own_for_every_step_makes_both_layouts_one() -> None:
    values, lengths = torch.tensor([0.5, -1.0, 2.0]), torch.tensor([2, 0, 4])
    mask = torch.arange(4) < lengths[:, None]
    tokens = spans_to_tokens(values, torch.arange(3), [0, 0, 0], lengths, (3, 4))
    assert torch.equal(tokens, to_tokens(values, mask))


def test_the_ranks_together_hold_what_one_process_would() -> None:
    values, rows = np.array([1.0, 2, 3, 4]), np.array([3, 0, 2, 3])
    starts, stops = np.array([0, 1, 0, 2]), np.array([2, 3, 1, 4])
    ranks = [spans_to_tokens(values, rows - 2 * rank, starts, stops, (2, 4)) for rank in (0, 1)]
    assert torch.equal(torch.cat(ranks), spans_to_tokens(values, rows, starts, stops, (4, 4)))


def test_touching_and_empty_spans_do_not_overlap() -> None:
    tokens = spans_to_tokens(
        [1.0, 2.0, 9.0], rows=[0, 0, 0], starts=[0, 2, 1], stops=[2, 4, 1], shape=(1, 4)
    )
    assert tokens.tolist() == [[1, 1, 2, 2]]


@given(data=st.data(), num_rows=st.integers(0, 3), width=st.integers(0, 8))
def test_spans_write_what_a_loop_writes(data: st.DataObject, num_rows: int, width: int) -> None:
    expected = np.zeros((num_rows, width), np.float32)
    taken = np.zeros((num_rows, width), bool)
    spans = []
    for step in range(data.draw(st.integers(0, 6))):
        row = data.draw(st.integers(-1, num_rows))
        start = data.draw(st.integers(0, 10))
        stop = start + data.draw(st.integers(0, 4))
        if 0 <= row < num_rows:
            if taken[row, start:stop].any():
                continue
            taken[row, start:stop] = True
            expected[row, start:stop] = step + 1
        spans.append((step + 1.0, row, start, stop))
    values, rows, starts, stops = (
        (list(x) for x in zip(*spans, strict=True)) if spans else ([],) * 4
    )
    tokens = spans_to_tokens(values, rows, starts, stops, (num_rows, width))
    np.testing.assert_array_equal(tokens.numpy(), expected)


# --- policy_loss ----------------------------------------------------------------------------------


def transcribed_loss(
    log_probs: torch.Tensor,
    old: torch.Tensor,
    advantages: torch.Tensor,
    mask: torch.Tensor,
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    dual_clip: float | None = None,
    ref: torch.Tensor | None = None,
    kl_coef: float = 0.01,
    reduction: str = "token_mean",
) -> torch.Tensor:
    """The formula, token by token, and nothing else."""
    rows = []
    for b in range(log_probs.shape[0]):
        tokens = []
        for t in range(log_probs.shape[1]):
            if not mask[b, t]:
                continue
            ratio = torch.exp(torch.clamp(log_probs[b, t] - old[b, t], -20, 20))
            a = advantages[b, t]
            loss = torch.maximum(-a * ratio, -a * torch.clamp(ratio, 1 - clip_low, 1 + clip_high))
            if dual_clip is not None and a < 0:
                loss = torch.minimum(loss, -a * dual_clip)
            if ref is not None:
                x = torch.clamp(ref[b, t] - log_probs[b, t], -20, 20)
                loss = loss + kl_coef * (torch.exp(x) - 1 - x)
            tokens.append(loss)
        if tokens:
            rows.append(torch.stack(tokens))
    if not rows:
        return log_probs.sum() * 0
    if reduction == "token_mean":
        return torch.cat(rows).mean()
    if reduction == "sequence_mean":
        return torch.stack([row.mean() for row in rows]).mean()
    return torch.stack([row.sum() for row in rows]).mean()


def random_tokens(seed: int, rows: int = 4, width: int = 5) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def normal() -> torch.Tensor:
        return torch.randn(rows, width, generator=generator, dtype=torch.float64)

    mask = torch.rand(rows, width, generator=generator) < 0.6
    mask[seed % rows] = False  # a row without tokens
    log_probs = normal()
    return {
        "log_probs": log_probs,
        "old": log_probs + 0.4 * normal(),
        "advantages": normal(),
        "mask": mask,
        "ref": log_probs + normal(),
    }


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("dual_clip", [None, 1.5])
@pytest.mark.parametrize("has_reference", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_the_loss_is_the_formula(
    reduction: Any, dual_clip: float | None, has_reference: bool, seed: int
) -> None:
    t = random_tokens(seed)
    ref = t["ref"] if has_reference else None
    ours, theirs = (t["log_probs"].clone().requires_grad_() for _ in range(2))
    options: dict[str, Any] = {
        "clip_low": 0.1,
        "clip_high": 0.3,
        "dual_clip": dual_clip,
        "kl_coef": 0.05,
    }
    loss, metrics = policy_loss(
        ours,
        t["old"],
        t["advantages"],
        t["mask"],
        ref_log_probs=ref,
        reduction=reduction,
        **options,
    )
    expected = transcribed_loss(
        theirs, t["old"], t["advantages"], t["mask"], ref=ref, reduction=reduction, **options
    )
    torch.testing.assert_close(loss, expected)
    loss.backward()  # type: ignore[no-untyped-call]
    expected.backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(ours.grad, theirs.grad)

    tokens = t["mask"]
    log_ratio = (t["log_probs"] - t["old"])[tokens]
    assert metrics["ratio_max"].item() == pytest.approx(log_ratio.exp().max().item())
    assert metrics["ratio_min"].item() == pytest.approx(log_ratio.exp().min().item())
    assert metrics["approx_kl"].item() == pytest.approx((log_ratio.exp() - 1 - log_ratio).mean())
    if has_reference:
        x = (t["ref"] - t["log_probs"])[tokens]
        assert metrics["kl_ref"].item() == pytest.approx((x.exp() - 1 - x).mean().item())
    else:
        assert metrics["kl_ref"].item() == 0
    ratios, signs = log_ratio.exp().tolist(), t["advantages"][tokens].tolist()
    clipped = [
        r > 1.3 if a > 0 else r < 0.9 or (dual_clip is not None and r > dual_clip)
        for r, a in zip(ratios, signs, strict=True)
    ]
    assert metrics["clip_fraction"].item() == pytest.approx(np.mean(clipped))
    assert not any(value.requires_grad or value.dim() for value in metrics.values())


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("dual_clip", [None, 1.5])
@pytest.mark.parametrize("kl_coef", [None, 0.1])
def test_gradcheck(reduction: Any, dual_clip: float | None, kl_coef: float | None) -> None:
    t = random_tokens(7)

    def loss_and_metrics(log_probs: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        return policy_loss(
            log_probs,
            t["old"],
            t["advantages"],
            t["mask"],
            ref_log_probs=None if kl_coef is None else t["ref"],
            kl_coef=kl_coef or 0.0,
            dual_clip=dual_clip,
            reduction=reduction,
        )

    log_probs = t["log_probs"].requires_grad_()
    assert 0 < loss_and_metrics(log_probs)[1]["clip_fraction"].item() < 1
    assert torch.autograd.gradcheck(lambda x: loss_and_metrics(x)[0], (log_probs,))
    assert torch.autograd.gradgradcheck(lambda x: loss_and_metrics(x)[0], (log_probs,))


def arguments_of(t: dict[str, torch.Tensor]) -> Any:
    return t["old"], t["advantages"], t["mask"]


EVERY_OPTION: Any = {"clip_low": 0.1, "clip_high": 0.3, "dual_clip": 1.5, "kl_coef": 0.05}


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("scale", [1.0, 30.0], ids=["near", "beyond the clamp"])
def test_a_compiled_loss_is_the_loss(reduction: Any, dtype: torch.dtype, scale: float) -> None:
    def loss_and_metrics(
        log_probs: torch.Tensor, *others: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        old, advantages, mask, ref = others
        return policy_loss(
            log_probs, old, advantages, mask, ref_log_probs=ref, reduction=reduction, **EVERY_OPTION
        )

    torch.compiler.reset()
    compiled = torch.compile(loss_and_metrics, backend="aot_eager", fullgraph=True)  # no break
    t = {
        name: x if name == "mask" else (x * scale).to(dtype) for name, x in random_tokens(9).items()
    }
    grads, results = [], []
    for call in (loss_and_metrics, compiled):
        log_probs = t["log_probs"].clone().requires_grad_()
        loss, metrics = call(log_probs, *arguments_of(t), t["ref"])
        loss.backward()  # type: ignore[no-untyped-call]
        grads.append(log_probs.grad)
        results.append({"loss": loss.detach(), **metrics})
    torch.testing.assert_close(grads[0], grads[1])
    torch.testing.assert_close(results[0], results[1])


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")  # torch's own use of it
@pytest.mark.parametrize("kl_coef", [0.0, 0.1])
def test_function_transforms_see_the_formula(kl_coef: float) -> None:
    t = random_tokens(10)

    def loss(log_probs: torch.Tensor) -> torch.Tensor:
        return policy_loss(log_probs, *arguments_of(t), ref_log_probs=t["ref"], kl_coef=kl_coef)[0]

    log_probs = t["log_probs"].clone().requires_grad_()
    loss(log_probs).backward()  # type: ignore[no-untyped-call]
    assert log_probs.grad is not None
    torch.testing.assert_close(torch.func.grad(loss)(t["log_probs"]), log_probs.grad)

    tangent = torch.linspace(-1, 1, 20, dtype=torch.float64).view(4, 5)
    expected = (log_probs.grad * tangent).sum()
    along = torch.func.jvp(loss, (t["log_probs"],), (tangent,))[1]
    torch.testing.assert_close(along, expected)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(t["log_probs"], tangent)  # type: ignore[no-untyped-call]
        unpacked = torch.autograd.forward_ad.unpack_dual(loss(dual))  # type: ignore[no-untyped-call]
    torch.testing.assert_close(unpacked.tangent, expected)

    both = torch.stack([t["log_probs"], t["log_probs"] + 0.1])
    torch.testing.assert_close(torch.vmap(loss)(both), torch.stack([loss(x) for x in both]))


def test_a_second_derivative_of_changed_arguments_is_refused() -> None:
    t = random_tokens(11)
    log_probs = t["log_probs"].requires_grad_()
    for changed in ("old", "advantages", "mask"):
        loss, _ = policy_loss(log_probs, *arguments_of(t))
        t[changed].copy_(t[changed].clone())
        loss.backward(retain_graph=True)  # type: ignore[no-untyped-call]
        with pytest.raises(RuntimeError) as caught:
            torch.autograd.grad(loss, log_probs, create_graph=True)
        assert str(caught.value) == (
            "an argument of policy_loss was changed in place after the call; "
            "a second derivative needs it as it was"
        )


def test_no_argument_is_changed() -> None:
    t = random_tokens(12)
    before = {name: x.clone() for name, x in t.items()}
    policy_loss(t["log_probs"], *arguments_of(t), ref_log_probs=t["ref"], **EVERY_OPTION)
    log_probs = t["log_probs"].detach().requires_grad_()
    loss, _ = policy_loss(log_probs, *arguments_of(t), ref_log_probs=t["ref"], **EVERY_OPTION)
    loss.backward()  # type: ignore[no-untyped-call]
    assert all(torch.equal(x, before[name]) for name, x in t.items())


def test_a_backward_pass_can_be_repeated_and_add_up() -> None:
    t = random_tokens(13)
    log_probs = t["log_probs"].requires_grad_()
    loss, _ = policy_loss(log_probs, *arguments_of(t))
    loss.backward(retain_graph=True)  # type: ignore[no-untyped-call]
    assert log_probs.grad is not None
    once = log_probs.grad.clone()
    (2 * loss).backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(log_probs.grad, 3 * once)


def test_log_probs_from_inference_mode_are_fine_as_the_old_ones() -> None:
    t = random_tokens(14)
    with torch.inference_mode():
        old = t["old"].clone()
    expected, _ = policy_loss(t["log_probs"].requires_grad_(), *arguments_of(t))
    loss, _ = policy_loss(t["log_probs"], old, t["advantages"], t["mask"])
    assert loss.item() == expected.item()
    loss.backward()  # type: ignore[no-untyped-call]


def test_without_a_gradient_the_loss_is_the_same() -> None:
    t = random_tokens(15)
    with_gradient, _ = policy_loss(
        t["log_probs"].clone().requires_grad_(),
        *arguments_of(t),
        ref_log_probs=t["ref"],
        **EVERY_OPTION,
    )
    without, _ = policy_loss(
        t["log_probs"], *arguments_of(t), ref_log_probs=t["ref"], **EVERY_OPTION
    )
    assert not without.requires_grad
    assert without.item() == with_gradient.item()


def test_a_nan_on_a_token_reaches_loss_and_gradient() -> None:
    ones = torch.ones(1, 2)
    log_probs = torch.tensor([[math.nan, 1.0]], requires_grad=True)
    loss, _ = policy_loss(log_probs, ones, ones, ones)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.isnan()
    assert log_probs.grad is not None
    assert log_probs.grad.isnan().tolist() == [[True, False]]


class Tensor(torch.Tensor):
    """Stands for whatever holds its values in its own way."""


def test_subclasses_of_tensor_see_the_formula() -> None:
    t = random_tokens(16)
    expected, _ = policy_loss(t["log_probs"], *arguments_of(t))
    loss, _ = policy_loss(t["log_probs"].as_subclass(Tensor), *arguments_of(t))
    assert loss.item() == pytest.approx(expected.item())


class Allocated(TorchDispatchMode):
    """The most bytes that tensors made by operations held at once."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.living: dict[int, int] = {}
        self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {x.untyped_storage().data_ptr() for x in tensors_in((args, kwargs))}
        returned = func(*args, **(kwargs or {}))
        for storage in (x.untyped_storage() for x in tensors_in(returned)):
            place = storage.data_ptr()
            if place and place not in given and place not in self.living:
                self.living[place] = storage.nbytes()
                weakref.finalize(storage, self.living.pop, place)
        self.peak = max(self.peak, sum(self.living.values()))
        return returned


def tensors_in(tree: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def test_five_tensors_of_the_batch_are_all_it_takes() -> None:
    log_probs = torch.zeros(16, 256, requires_grad=True)
    old, advantages, ref = torch.zeros(16, 256), torch.ones(16, 256), torch.ones(16, 256)
    mask = torch.ones(16, 256, dtype=torch.int64)
    with Allocated() as allocated:
        loss, _ = policy_loss(
            log_probs, old, advantages, mask, ref_log_probs=ref, dual_clip=3.0, kl_coef=0.1
        )
        loss.backward()  # type: ignore[no-untyped-call]
    assert 4.9 < allocated.peak / old.nbytes < 5.1  # and sums by row


def test_spreading_takes_no_more_than_its_result() -> None:
    mask = torch.ones(16, 256, dtype=torch.int64)
    with Allocated() as allocated:
        tokens = to_tokens(np.ones(16), mask)
    assert allocated.peak == tokens.nbytes


def test_dual_clip_bounds_the_loss_of_negative_advantages_alone() -> None:
    log_probs = torch.tensor([[2.0, 2.0]], requires_grad=True)
    old, advantages = torch.zeros(1, 2), torch.tensor([[-1.0, 1.0]])
    loss, metrics = policy_loss(
        log_probs, old, advantages, torch.ones(1, 2), dual_clip=3.0, reduction="sequence_sum_mean"
    )
    assert loss.item() == pytest.approx(3.0 - 1.2)
    assert metrics["clip_fraction"].item() == 1
    loss.backward()  # type: ignore[no-untyped-call]
    assert log_probs.grad is not None
    assert not log_probs.grad.any()


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_padding_and_the_order_of_rows_change_nothing(reduction: Any) -> None:
    t = random_tokens(5)
    expected, _ = policy_loss(
        t["log_probs"], t["old"], t["advantages"], t["mask"], reduction=reduction
    )
    wider: Any = [
        torch.nn.functional.pad(t[name], (0, 2, 1, 1)).flip(0)
        for name in ("log_probs", "old", "advantages", "mask")
    ]
    assert policy_loss(*wider, reduction=reduction)[0].item() == pytest.approx(expected.item())


@pytest.mark.parametrize("reduction", ["sequence_mean", "sequence_sum_mean"])
def test_a_sequence_reduction_is_the_mean_of_its_rows_losses(reduction: Any) -> None:
    t = random_tokens(6)
    arguments: Any = [t[name] for name in ("log_probs", "old", "advantages", "mask")]
    rows = [
        policy_loss(*(x[b : b + 1] for x in arguments), reduction=reduction)[0].item()
        for b in range(4)
        if t["mask"][b].any()
    ]
    whole, _ = policy_loss(*arguments, reduction=reduction)
    assert whole.item() == pytest.approx(np.mean(rows))


def test_nothing_waits_for_the_device() -> None:
    tensors: Any = [torch.ones(2, 3, device="meta") for _ in range(4)]  # has no values to wait for
    loss, metrics = policy_loss(*tensors, ref_log_probs=tensors[0], dual_clip=3.0)
    assert {x.device.type for x in (loss, *metrics.values())} == {"meta"}


def test_gradients_flow_through_the_policy_alone() -> None:
    t = {name: x.requires_grad_(name != "mask") for name, x in random_tokens(1).items()}
    loss, _ = policy_loss(
        t["log_probs"], t["old"], t["advantages"], t["mask"], ref_log_probs=t["ref"]
    )
    loss.backward()  # type: ignore[no-untyped-call]
    assert t["log_probs"].grad is not None
    assert t["old"].grad is t["ref"].grad is t["advantages"].grad is None


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_an_empty_mask_gives_zero_and_a_zero_gradient(reduction: Any) -> None:
    log_probs = torch.randn(2, 3, requires_grad=True)
    nothing = torch.full((2, 3), math.nan)
    loss, metrics = policy_loss(
        log_probs, nothing, nothing, torch.zeros(2, 3), ref_log_probs=nothing, reduction=reduction
    )
    assert loss.item() == 0
    loss.backward()  # type: ignore[no-untyped-call]
    assert log_probs.grad is not None
    assert not log_probs.grad.any()
    assert {name: value.item() for name, value in metrics.items()} == {
        "clip_fraction": 0,
        "approx_kl": 0,
        "kl_ref": 0,
        "ratio_min": 1,
        "ratio_max": 1,
    }
    none = torch.zeros(0, 0)
    assert policy_loss(none, none, none, none)[0].item() == 0


def test_what_padding_holds_is_never_used() -> None:
    t = random_tokens(2)
    spoiled = {
        name: x if name == "mask" else x.masked_fill(~t["mask"], math.nan) for name, x in t.items()
    }
    clean, _ = policy_loss(
        t["log_probs"], t["old"], t["advantages"], t["mask"], ref_log_probs=t["ref"]
    )
    log_probs = spoiled["log_probs"].requires_grad_()
    loss, _ = policy_loss(
        log_probs, spoiled["old"], spoiled["advantages"], t["mask"], ref_log_probs=spoiled["ref"]
    )
    assert loss.item() == clean.item()
    loss.backward()  # type: ignore[no-untyped-call]
    assert log_probs.grad is not None
    assert log_probs.grad.isfinite().all()


def test_a_ratio_far_beyond_reason_stays_finite() -> None:
    log_probs = torch.tensor([[0.0, -100.0]], requires_grad=True)
    old = torch.tensor([[-100.0, 0.0]])
    ones = torch.ones(1, 2)
    loss, metrics = policy_loss(log_probs, old, -ones, ones, ref_log_probs=old)
    assert loss.isfinite()
    assert metrics["ratio_max"].item() == pytest.approx(math.exp(20))
    loss.backward()  # type: ignore[no-untyped-call]
    assert log_probs.grad is not None
    assert not log_probs.grad.any()  # a clamped token has no gradient


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_low_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    t = random_tokens(3)
    tensors: Any = [t[name].to(dtype) for name in ("log_probs", "old", "advantages")]
    loss, _ = policy_loss(tensors[0], tensors[1], tensors[2], t["mask"])
    assert loss.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    log_probs, old, advantages = (x.double() for x in tensors)
    exact, _ = policy_loss(log_probs, old, advantages, t["mask"])
    assert loss.item() == pytest.approx(exact.item(), rel=1e-5)
    leaf = tensors[0].requires_grad_()
    policy_loss(leaf, tensors[1], tensors[2], t["mask"])[0].backward()  # type: ignore[no-untyped-call]
    assert leaf.grad.dtype == dtype


def test_non_contiguous_tensors_are_fine() -> None:
    t = random_tokens(4, 4, 4)
    expected, _ = policy_loss(t["log_probs"], t["old"], t["advantages"], t["mask"])
    turned: Any = [t[n].T.contiguous().T for n in ("log_probs", "old", "advantages", "mask")]
    assert policy_loss(*turned)[0].item() == expected.item()


@pytest.mark.parametrize("shift", [-1.0, 1.0])
def test_the_ratios_of_padding_are_no_extremes(shift: float) -> None:
    old = torch.zeros(1, 3)
    _, metrics = policy_loss(old + shift, old, old, torch.tensor([[1, 1, 0]]))
    assert metrics["ratio_min"].item() == pytest.approx(math.exp(shift))
    assert metrics["ratio_max"].item() == pytest.approx(math.exp(shift))


def test_a_small_kl_keeps_its_digits() -> None:
    old = torch.zeros(1, 1)
    _, metrics = policy_loss(old + 1e-3, old, old, old + 1, ref_log_probs=old)
    assert metrics["approx_kl"].item() == pytest.approx(0.5e-6, rel=1e-2)
    assert metrics["kl_ref"].item() == pytest.approx(0.5e-6, rel=1e-2)


def test_any_mask_entry_but_zero_is_one_token() -> None:
    t = random_tokens(8)
    weights = t["mask"] * torch.linspace(-3, 2, 20).view(4, 5)
    losses = [
        policy_loss(t["log_probs"], t["old"], t["advantages"], mask)[0].item()
        for mask in (t["mask"], weights)
    ]
    assert losses[0] == losses[1]


def test_equal_policies_lose_the_mean_advantage() -> None:
    log_probs = torch.zeros(2, 2)
    advantages = torch.tensor([[1.0, 3.0], [5.0, 0.0]])
    loss, metrics = policy_loss(log_probs, log_probs, advantages, torch.tensor([[1, 1], [1, 0]]))
    assert loss.item() == -3
    assert metrics["clip_fraction"].item() == metrics["approx_kl"].item() == 0


# --- errors ---------------------------------------------------------------------------------------

ONES = torch.ones(2, 3)
MASK = (
    "expected a dense (N, T) tensor, a nested (N, ragged) tensor with layout=torch.jagged, or a "
    "list or tuple of N 1-D masks"
)
ERRORS: list[tuple[Any, type[Exception], str]] = [
    (
        lambda: to_tokens([1.0], ONES),
        ValueError,
        "step_values has 1 values but response_mask has 2 rows; expected one value per row",
    ),
    (lambda: to_tokens([1.0], np.ones((1, 2))), TypeError, f"response_mask is a ndarray; {MASK}"),  # type: ignore[call-overload]
    (
        lambda: to_tokens([1.0], torch.ones(1)),
        ValueError,
        f"response_mask is a tensor of shape (1,); {MASK}",
    ),
    (
        lambda: to_tokens([1.0], torch.ones(1, 2).to_sparse()),
        ValueError,
        f"response_mask is a 2-D tensor with layout=torch.sparse_coo; {MASK}",
    ),
    (
        lambda: to_tokens([1.0], torch.nested.nested_tensor([ONES], layout=torch.jagged)),
        ValueError,
        f"response_mask is a nested 3-D tensor with layout=torch.jagged; {MASK}",
    ),
    (
        lambda: to_tokens([1.0], []),
        ValueError,
        "step_values has 1 values but response_mask has 0 rows; expected one value per row",
    ),
    (
        lambda: to_tokens([1.0, 2.0], [[1], torch.ones(1, 1)]),
        ValueError,
        "response_mask[1] has shape (1, 1); expected a 1-D mask",
    ),
    (
        lambda: to_tokens([1.0], [[0, "1"]]),
        TypeError,
        "response_mask[0][1] is '1' (str); expected a number",
    ),
    (
        lambda: to_tokens([1.0], [None]),
        TypeError,
        "response_mask[0] is None; expected a column, one value per step",
    ),
    (
        lambda: to_tokens([1.0, math.nan], ONES),
        ValueError,
        "step_values[1] is nan; expected a number finite in float32",
    ),
    (
        lambda: to_tokens([1e300, 0.0], ONES),
        ValueError,
        "step_values[0] is 1e+300; expected a number finite in float32",
    ),
    (
        lambda: to_tokens(torch.ones(2, 1), ONES),
        ValueError,
        "step_values has shape (2, 1); expected (N,), one value per step",
    ),
    (
        lambda: to_tokens(["a", "b"], ONES),
        TypeError,
        "step_values[0] is 'a' (str); expected a number",
    ),
    (
        lambda: to_tokens(None, ONES),  # type: ignore[call-overload]
        TypeError,
        "step_values is None; expected a column, one value per step",
    ),
    (
        lambda: spans_to_tokens([1.0, 2.0], [0, 0], [0, 1], [2, 3], (1, 4)),
        ValueError,
        "spans 0 and 1 overlap in row 0: [0, 2) and [1, 3); expected every token in one span at "
        "most",
    ),
    (
        lambda: spans_to_tokens([1.0], [0], [-1], [2], (1, 4)),
        ValueError,
        "starts[0] is -1; expected an integer >= 0",
    ),
    (
        lambda: spans_to_tokens([1.0], [0], [3], [2], (1, 4)),
        ValueError,
        "stops[0] is 2 and starts[0] is 3; expected start <= stop",
    ),
    (
        lambda: spans_to_tokens([1.0], [0, 1], [0], [2], (1, 4)),
        ValueError,
        "rows has 2 entries but step_values has 1 values; expected one entry per step value",
    ),
    (
        lambda: spans_to_tokens([1.0], [0.0], [0], [2], (1, 4)),
        TypeError,
        "rows[0] is 0.0 (float); expected an int",
    ),
    (
        lambda: spans_to_tokens([1.0], [9], [-1], [2], (1, 4)),
        ValueError,
        "starts[0] is -1; expected an integer >= 0",
    ),
    (
        lambda: spans_to_tokens([1.0], [0], [0], [2], (1, 4.0)),  # type: ignore[arg-type]
        TypeError,
        "shape is (1, 4.0); expected (B, T), two integers >= 0",
    ),
    (
        lambda: spans_to_tokens([1.0], [0], [0], [2], (-1, 4)),
        ValueError,
        "shape is (-1, 4); expected (B, T), two integers >= 0",
    ),
    (
        lambda: policy_loss(ONES, ONES, torch.ones(2), ONES),
        ValueError,
        "advantages is a tensor of shape (2,); expected a dense (B, T) one; to_tokens spreads one "
        "value per row",
    ),
    (
        lambda: policy_loss(ONES, ONES[:1], ONES, ONES),
        ValueError,
        "old_log_probs has shape (1, 3); expected (2, 3), the shape of log_probs",
    ),
    (
        lambda: policy_loss(ONES.long(), ONES, ONES, ONES),
        TypeError,
        "log_probs has dtype torch.int64; expected a floating-point dtype",
    ),
    (
        lambda: policy_loss(ONES, ONES, ONES, None),  # type: ignore[arg-type]
        TypeError,
        "mask is a NoneType; expected a (B, T) tensor",
    ),
    (
        lambda: policy_loss(ONES, ONES, ONES, ONES, clip_low=1.5),
        ValueError,
        "clip_low is 1.5; expected a number in [0, 1]",
    ),
    (
        lambda: policy_loss(ONES, ONES, ONES, ONES, clip_high=math.inf),
        ValueError,
        "clip_high is inf; expected a finite number >= 0",
    ),
    (
        lambda: policy_loss(ONES, ONES, ONES, ONES, clip_low=True),
        TypeError,
        "clip_low is True (bool); expected a number in [0, 1]",
    ),
    (
        lambda: policy_loss(ONES, ONES, ONES, ONES.to("meta")),
        ValueError,
        "mask is on meta; expected cpu, the device of log_probs",
    ),
    (
        lambda: policy_loss(ONES, ONES, ONES, ONES, ref_log_probs=ONES.T),
        ValueError,
        "ref_log_probs has shape (3, 2); expected (2, 3), the shape of log_probs",
    ),
    (
        lambda: policy_loss(ONES[0], ONES, ONES, ONES),
        ValueError,
        "log_probs is a tensor of shape (3,); expected a dense (B, T) one",
    ),
    (
        lambda: policy_loss(ONES, ONES, ONES, ONES, dual_clip=1.0),
        ValueError,
        "dual_clip is 1.0; expected a finite number > 1, or None",
    ),
    (
        lambda: policy_loss(ONES, ONES, ONES, ONES, kl_coef=-1),
        ValueError,
        "kl_coef is -1; expected a finite number >= 0",
    ),
    (
        lambda: policy_loss(ONES, ONES, ONES, ONES, reduction="mean"),  # type: ignore[arg-type]
        ValueError,
        "reduction is 'mean'; expected one of 'token_mean', 'sequence_mean', 'sequence_sum_mean'",
    ),
    (
        lambda: policy_loss(ONES, ONES, ONES, ONES, kl="k1"),  # type: ignore[arg-type]
        ValueError,
        "kl is 'k1'; expected one of 'k3'",
    ),
]


@pytest.mark.parametrize(("call", "error", "text"), ERRORS, ids=[case[2][:40] for case in ERRORS])
def test_the_error_says_what_is_wrong(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == text


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors is in prototype stage")
def test_a_nested_mask_must_be_jagged() -> None:
    strided = torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])
    with pytest.raises(ValueError, match=r"a nested 2-D tensor with layout=torch\.strided; "):
        to_tokens([1.0, 2.0], strided)
