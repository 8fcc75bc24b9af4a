"""Whatever differentiates or compiles the loss sees the formula; memory and arguments are left."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from token_cases import (
    EVERY_OPTION,
    GROUPS,
    REDUCTIONS,
    Allocated,
    arguments_of,
    cu_seqlens,
    jagged,
    packed,
    random_tokens,
    reduced,
)

from graphgpo.torch import policy_loss


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
            **reduced(reduction),
        )

    log_probs = t["log_probs"].requires_grad_()
    assert 0 < loss_and_metrics(log_probs)[1]["clip_fraction"].item() < 1
    assert torch.autograd.gradcheck(lambda x: loss_and_metrics(x)[0], (log_probs,))
    assert torch.autograd.gradgradcheck(lambda x: loss_and_metrics(x)[0], (log_probs,))


DTYPES = [torch.float64, torch.float32, torch.bfloat16]
RATIOS = [("token", 1.0), ("token", 30.0), ("sequence", 3.0)]  # near, beyond the clamp, of rows


@pytest.mark.parametrize(
    ("reduction", "dtype", "ratio", "scale"),
    # Compiling takes a second: every pair of values once, not every triple.
    [
        (reduction, DTYPES[(i + j) % 3], *RATIOS[j])
        for i, reduction in enumerate(REDUCTIONS)
        for j in range(3)
    ],
)
def test_a_compiled_loss_is_the_loss(
    reduction: Any, dtype: torch.dtype, ratio: Any, scale: float
) -> None:
    options = reduced(reduction) | {"ratio": ratio}
    if reduction == "group_mean":
        options["group_ids"] = torch.tensor(GROUPS)

    def loss_and_metrics(
        log_probs: torch.Tensor, *others: torch.Tensor
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        old, advantages, mask, ref = others
        return policy_loss(
            log_probs,
            old,
            advantages,
            mask,
            ref_log_probs=ref,
            **options,
            **EVERY_OPTION,
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


class Tensor(torch.Tensor):
    """Stands for whatever holds its values in its own way."""


def test_subclasses_of_tensor_see_the_formula() -> None:
    t = random_tokens(16)
    expected, _ = policy_loss(t["log_probs"], *arguments_of(t))
    loss, _ = policy_loss(t["log_probs"].as_subclass(Tensor), *arguments_of(t))
    assert loss.item() == pytest.approx(expected.item())


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


@pytest.mark.parametrize("form", ["jagged", "packed"])
def test_flat_batches_compile_without_a_break(form: str) -> None:
    t, lengths = random_tokens(4), [5, 2, 5, 3]
    lay = jagged if form == "jagged" else packed
    options: Any = {"reduction": "sequence_mean"}
    if form == "packed":
        options["cu_seqlens"] = cu_seqlens(lengths)

    def loss_of(*tensors: torch.Tensor) -> torch.Tensor:
        return policy_loss(*tensors[:4], ref_log_probs=tensors[4], **options)[0]

    torch.compiler.reset()
    compiled = torch.compile(loss_of, backend="aot_eager", fullgraph=True)
    losses, grads = [], []
    for call in (loss_of, compiled):
        leaf = lay(t["log_probs"], lengths).requires_grad_()
        others = (lay(t[name], lengths) for name in ("old", "advantages", "mask", "ref"))
        loss = call(leaf, *others)
        loss.backward()  # type: ignore[no-untyped-call]
        losses.append(loss.detach())
        assert leaf.grad is not None
        grads.append(leaf.grad.values() if form == "jagged" else leaf.grad)
    torch.testing.assert_close(losses[0], losses[1])
    torch.testing.assert_close(grads[0], grads[1])


@pytest.mark.parametrize("ratio", ["token", "sequence"])
def test_function_transforms_of_a_packed_batch_see_the_formula(ratio: Any) -> None:
    t, lengths = random_tokens(4), [5, 2, 5, 3]
    flat = {name: packed(x, lengths) for name, x in t.items()}

    def loss(log_probs: torch.Tensor) -> torch.Tensor:
        return policy_loss(
            log_probs,
            *arguments_of(flat),
            ratio=ratio,
            reduction="sequence_mean",
            cu_seqlens=cu_seqlens(lengths),
        )[0]

    leaf = flat["log_probs"].clone().requires_grad_()
    loss(leaf).backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(torch.func.grad(loss)(flat["log_probs"]), leaf.grad)


def test_five_tensors_are_all_it_takes_with_a_ratio_of_sequences_too() -> None:
    log_probs = torch.zeros(16, 256, requires_grad=True)
    ones = torch.ones(16, 256)
    with Allocated() as allocated:
        loss, _ = policy_loss(
            log_probs, ones, ones, ones, ref_log_probs=ones, dual_clip=3.0, ratio="sequence"
        )
        loss.backward()  # type: ignore[no-untyped-call]
    assert 4.9 < allocated.peak / ones.nbytes < 5.1
