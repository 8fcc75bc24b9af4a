"""A NaN on a token is a NaN in the loss and in the token's gradient, wherever it comes from."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from token_cases import EVERY_OPTION

from graphgpo.torch import policy_loss

ARGUMENTS = ["log_probs", "old_log_probs", "advantages", "ref_log_probs"]
WIDTHS = [1, 7, 16, 33]  # vectorised loops of a CPU begin at 8 or 16 entries


def gradients(loss_of: Any, log_probs: torch.Tensor, way: str) -> torch.Tensor:
    if way == "torch.func":
        gradient: torch.Tensor = torch.func.grad(loss_of)(log_probs)
        return gradient
    if way == "compiled":
        torch.compiler.reset()
        loss_of = torch.compile(loss_of, backend="aot_eager", fullgraph=True)
    leaf = log_probs.clone().requires_grad_()
    create_graph = way == "twice differentiable"
    (gradient,) = torch.autograd.grad(loss_of(leaf), leaf, create_graph=create_graph)
    return gradient.detach()


@pytest.mark.parametrize("spoiled", ARGUMENTS)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("way", ["eager", "torch.func", "twice differentiable"])
@pytest.mark.parametrize("far", [False, True], ids=["near", "beyond the clamp"])
def test_a_nan_reaches_the_gradient_of_its_token_alone(
    spoiled: str, width: int, dtype: torch.dtype, way: str, far: bool
) -> None:
    _a_nan_reaches_its_token(spoiled, width, dtype, way, far)


@pytest.mark.parametrize("spoiled", ARGUMENTS)
def test_a_nan_reaches_its_token_under_the_compiler(spoiled: str) -> None:
    _a_nan_reaches_its_token(spoiled, 33, torch.float32, "compiled", False)


def _a_nan_reaches_its_token(
    spoiled: str, width: int, dtype: torch.dtype, way: str, far: bool
) -> None:
    generator = torch.Generator().manual_seed(width)
    place = int(torch.randint(width, (), generator=generator))
    t: dict[str, Any] = {n: torch.randn(2, width, generator=generator) for n in ARGUMENTS}
    if far:  # other tokens at the limit of the log-ratio: the slower way
        t["log_probs"][1] = 100
    t[spoiled][0, place] = math.nan
    t = {name: x.to(dtype) for name, x in t.items()}
    mask = torch.ones(2, width)

    def loss_of(log_probs: torch.Tensor) -> torch.Tensor:
        return policy_loss(**t | {"log_probs": log_probs}, mask=mask, **EVERY_OPTION)[0]

    assert loss_of(t["log_probs"]).isnan()
    is_nan = gradients(loss_of, t["log_probs"], way).isnan()
    assert is_nan.nonzero().tolist() == [[0, place]]


@pytest.mark.parametrize("spoiled", ["log_probs", "old_log_probs"])
@pytest.mark.parametrize("width", [2, 16, 33])
@pytest.mark.parametrize("way", ["eager", "torch.func", "twice differentiable"])
def test_with_a_ratio_of_sequences_it_reaches_the_row(spoiled: str, width: int, way: str) -> None:
    t: dict[str, Any] = {name: torch.zeros(2, width) for name in ARGUMENTS[:3]}
    t["advantages"] += 1
    t[spoiled][0, 1] = math.nan
    mask = torch.ones(2, width)
    mask[0, 0] = 0

    def loss_of(log_probs: torch.Tensor) -> torch.Tensor:
        return policy_loss(**t | {"log_probs": log_probs}, mask=mask, ratio="sequence")[0]

    assert loss_of(t["log_probs"]).isnan()
    is_nan = gradients(loss_of, t["log_probs"], way).isnan()
    assert is_nan.tolist() == [[False] + [True] * (width - 1), [False] * width]


def test_a_nan_shows_in_the_metrics_of_what_it_spoils() -> None:
    ones = torch.ones(1, 32)
    spoiled = ones.clone()
    spoiled[0, 20] = math.nan
    _, metrics = policy_loss(spoiled, ones, ones, ones, ref_log_probs=ones)
    is_nan = {name for name, value in metrics.items() if value.isnan()}
    assert is_nan == {"approx_kl", "kl_ref", "ratio_min", "ratio_max"}


@pytest.mark.parametrize("way", ["eager", "torch.func", "twice differentiable"])
@pytest.mark.parametrize("ratio", ["token", "sequence"])
def test_an_impossible_token_is_beyond_the_clamp_and_no_nan(way: str, ratio: Any) -> None:
    log_probs, zeros, ones = torch.zeros(1, 32), torch.zeros(1, 32), torch.ones(1, 32)
    log_probs[0, 20] = -math.inf

    def loss_of(log_probs: torch.Tensor) -> torch.Tensor:
        return policy_loss(log_probs, zeros, ones, ones, ratio=ratio)[0]

    assert loss_of(log_probs).isfinite()
    gradient = gradients(loss_of, log_probs, way)
    assert gradient.isfinite().all()
    assert gradient[0, 20] == 0


@pytest.mark.parametrize("way", ["eager", "torch.func", "twice differentiable"])
def test_an_infinite_advantage_is_not_passed_over(way: str) -> None:
    zeros, ones = torch.zeros(1, 32), torch.ones(1, 32)
    advantages = ones.clone()
    advantages[0, 20] = math.inf

    def loss_of(log_probs: torch.Tensor) -> torch.Tensor:
        return policy_loss(log_probs, zeros, advantages, ones)[0]

    assert not loss_of(zeros).isfinite()
    gradient = gradients(loss_of, zeros, way)
    assert (~gradient.isfinite()).nonzero().tolist() == [[0, 20]]
