"""How long `policy_loss` (forward and backward) and `to_tokens` take, against transcriptions.

    python bench/torch_loss.py --json bench/results/torch_loss.json

Opponents: the textbook's lines under autograd (plain), a torch.autograd.Function written by hand
that works in place and keeps the derivative alone (hand_fused), and the compiler (compiled: plain
under torch.compile; policy_loss_compiled: ours under it). All of them return loss and metrics, and
have them and the gradient compared with ours before they are timed. hand_fused multiplies by the
mask, so a NaN in the padding spoils it; ours is safe from that.

Every round calls each in turn; a ratio is that of two calls in one round. Peak memory is what a
call's tensors held at once beside its inputs (the gradient of `log_probs` is one of them), in units
of a (B, T) float32 tensor.
"""

from __future__ import annotations

import argparse
import gc
import math
import sys
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from graphgpo.torch import policy_loss, to_tokens

sys.path.insert(0, str(Path(__file__).parent))
import reports

OURS = "graphgpo"
SEED = 7
CLIP_LOW, CLIP_HIGH, KL_COEF, LIMIT = 0.2, 0.28, 0.01, 20.0
MASK_DTYPES = {"bool": torch.bool, "int64": torch.int64, "float32": torch.float32}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}

LossAndMetrics = tuple[torch.Tensor, dict[str, torch.Tensor]]


@dataclass(frozen=True)
class Case:
    rows: int
    width: int
    dtype: str
    mask: str
    has_reference: bool

    def tensors(self) -> dict[str, torch.Tensor | None]:
        """Responses of every length up to the width, log-probabilities near the old policy's."""
        generator = torch.Generator().manual_seed(SEED)
        shape = self.rows, self.width
        normal = partial(torch.randn, shape, generator=generator)
        lengths = torch.randint(1, self.width + 1, (self.rows, 1), generator=generator)
        log_probs = -normal().square()
        mask = torch.arange(self.width) < lengths
        dtype = DTYPES[self.dtype]
        return {
            "log_probs": log_probs.to(dtype, copy=True).requires_grad_(),
            "old_log_probs": (log_probs + 0.2 * normal()).to(dtype),
            "advantages": torch.randn(self.rows, 1, generator=generator) * mask,
            "mask": mask.to(MASK_DTYPES[self.mask]),
            "ref_log_probs": (log_probs + 0.3 * normal()).to(dtype) if self.has_reference else None,
        }


CASES = [
    Case(64, 8192, "float32", "int64", has_reference=False),
    Case(64, 8192, "float32", "bool", has_reference=False),
    Case(64, 8192, "float32", "int64", has_reference=True),
    Case(64, 8192, "bfloat16", "int64", has_reference=True),
    Case(512, 4096, "float32", "int64", has_reference=False),
    Case(8, 512, "float32", "int64", has_reference=False),
]

# --- opponents ----------------------------------------------------------------------------------


def ours(
    log_probs: torch.Tensor,
    old_log_probs: torch.Tensor,
    advantages: torch.Tensor,
    mask: torch.Tensor,
    ref_log_probs: torch.Tensor | None,
) -> LossAndMetrics:
    return policy_loss(
        log_probs,
        old_log_probs,
        advantages,
        mask,
        clip_low=CLIP_LOW,
        clip_high=CLIP_HIGH,
        ref_log_probs=ref_log_probs,
        kl_coef=KL_COEF,
    )


def plain(
    log_probs: torch.Tensor,
    old_log_probs: torch.Tensor,
    advantages: torch.Tensor,
    mask: torch.Tensor,
    ref_log_probs: torch.Tensor | None,
) -> LossAndMetrics:
    """The textbook's lines."""
    is_token = mask != 0
    num_tokens = is_token.sum().clamp(min=1)

    def mean(values: torch.Tensor) -> torch.Tensor:
        return torch.where(is_token, values, 0.0).sum() / num_tokens

    log_probs = log_probs.float()
    log_ratio = (log_probs - old_log_probs.float()).clamp(-LIMIT, LIMIT)
    ratio = log_ratio.exp()
    unclipped = -advantages * ratio
    clipped = -advantages * ratio.clamp(1 - CLIP_LOW, 1 + CLIP_HIGH)
    loss = mean(torch.maximum(unclipped, clipped))
    kl_ref = torch.zeros(())
    if ref_log_probs is not None:
        x = (ref_log_probs.float() - log_probs).clamp(-LIMIT, LIMIT)
        kl_ref = mean(x.expm1() - x)
        loss = loss + KL_COEF * kl_ref
    with torch.no_grad():
        return loss, {
            "clip_fraction": mean((clipped > unclipped).float()),
            "approx_kl": mean(log_ratio.expm1() - log_ratio),
            "kl_ref": kl_ref.detach(),
            "ratio_min": torch.where(is_token, ratio, math.inf).amin(),
            "ratio_max": torch.where(is_token, ratio, -math.inf).amax(),
        }


class HandFused(torch.autograd.Function):
    """In place, with a float mask, and with the derivative kept instead of what it is made of."""

    @staticmethod
    def forward(
        ctx: Any,
        log_probs: torch.Tensor,
        old_log_probs: torch.Tensor,
        advantages: torch.Tensor,
        mask: torch.Tensor,
        ref_log_probs: torch.Tensor | None,
    ) -> tuple[torch.Tensor, ...]:
        is_token = mask.float()  # the masks of CASES hold 0 and 1
        num_tokens = is_token.sum().clamp_(min=1)
        log_ratio = (log_probs.float() - old_log_probs.float()).clamp_(-LIMIT, LIMIT)
        ratio = log_ratio.exp()
        scratch = torch.mul(ratio, is_token)
        ratio_max = scratch.amax()
        ratio_min = torch.div(ratio, is_token, out=scratch).amin()
        torch.expm1(log_ratio, out=scratch)
        approx_kl = scratch.sub_(log_ratio).mul_(is_token).sum() / num_tokens

        derivative = torch.mul(advantages, ratio).mul_(is_token)
        gain = ratio.clamp_(1 - CLIP_LOW, 1 + CLIP_HIGH).mul_(advantages).mul_(is_token)
        torch.minimum(gain, derivative, out=gain)
        loss = -gain.sum()
        is_clipped = gain.ne_(derivative)
        clip_fraction = is_clipped.sum() / num_tokens
        derivative.addcmul_(derivative, is_clipped, value=-1)
        derivative.mul_(log_ratio.abs_().lt_(LIMIT))
        kl_ref = loss.new_zeros(())
        if ref_log_probs is not None:
            torch.sub(ref_log_probs.float(), log_probs.float(), out=log_ratio)
            log_ratio.clamp_(-LIMIT, LIMIT)
            growth = torch.expm1(log_ratio, out=scratch)
            kl_ref = torch.sub(growth, log_ratio, out=ratio).mul_(is_token).sum()
            growth.mul_(log_ratio.abs_().lt_(LIMIT)).mul_(is_token)
            derivative.add_(growth, alpha=KL_COEF)
            loss.add_(kl_ref, alpha=KL_COEF)
        ctx.save_for_backward(derivative, num_tokens)
        ctx.dtype = log_probs.dtype
        metrics = clip_fraction, approx_kl, kl_ref / num_tokens, ratio_min, ratio_max
        ctx.mark_non_differentiable(*metrics)
        return loss / num_tokens, *metrics

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        derivative, num_tokens = ctx.saved_tensors
        return (derivative * (-grads[0] / num_tokens)).to(ctx.dtype), None, None, None, None


METRICS = "clip_fraction", "approx_kl", "kl_ref", "ratio_min", "ratio_max"


def hand_fused(**tensors: torch.Tensor | None) -> LossAndMetrics:
    loss, *metrics = HandFused.apply(*tensors.values())  # type: ignore[no-untyped-call]
    return loss, dict(zip(METRICS, metrics, strict=True))


def spread_by_where(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return torch.where(mask != 0, values[:, None], 0.0)


def spread_by_product(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Scales by a mask other than 0 and 1, and writes -0.0; one pass if the mask is float."""
    return mask.float() * values[:, None]


# --- measuring ----------------------------------------------------------------------------------

Call = Callable[[], Any]


def step(contender: Callable[..., LossAndMetrics], tensors: dict[str, Any]) -> LossAndMetrics:
    tensors["log_probs"].grad = None
    loss, metrics = contender(**tensors)
    loss.backward()  # type: ignore[no-untyped-call]
    return loss, metrics


def check(case: Case, contenders: dict[str, Callable[..., LossAndMetrics]]) -> None:
    tensors: dict[str, Any] = case.tensors()
    loss, metrics = step(contenders[OURS], tensors)
    grad = tensors["log_probs"].grad
    for name, contender in contenders.items():
        their_loss, their_metrics = step(contender, tensors)
        close = partial(torch.testing.assert_close, rtol=1e-4, atol=1e-6, msg=f"{name}, {case}")
        close(their_loss, loss)
        torch.testing.assert_close(tensors["log_probs"].grad, grad)
        for metric in METRICS:
            close(their_metrics[metric], metrics[metric])


def time_calls(calls: dict[str, Call], repeat: int, inner: int, clock: Call) -> dict[str, Any]:
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeat):
        for name, call in calls.items():
            call()  # what the one before left in the caches is not its own
            gc.collect()
            gc.disable()
            start = clock()
            for _ in range(inner):
                call()
            seconds[name].append((clock() - start) / inner)
            gc.enable()
    row: dict[str, Any] = {}
    for name, values in seconds.items():
        ratios = [own / value for value, own in zip(values, seconds[OURS], strict=True)]
        row[name] = {
            "median_ms": median(values) * 1e3,
            "min_ms": min(values) * 1e3,
            "ours_over_it": median(ratios),
            "quartiles": quantiles(ratios, n=4)[::2] if repeat > 1 else ratios * 2,
        }
    return row


class _Allocations(TorchDispatchMode):
    """Counts the storages that operations return, from their birth to their end.

    What an operation allocates and frees itself is not seen, nor what compiled code does.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = 0
        self.peak: int = 0
        self.known: dict[int, Any] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        given = {tensor.untyped_storage().data_ptr() for tensor in _tensors((args, kwargs))}
        returned = func(*args, **(kwargs or {}))
        for tensor in _tensors(returned):
            storage = tensor.untyped_storage()
            place, size = storage.data_ptr(), storage.nbytes()
            if size and place not in given and place not in self.known:
                self.known[place] = weakref.finalize(storage, self._freed, place, size)
                self.now += size
                self.peak = max(self.peak, self.now)
        return returned

    def _freed(self, place: int, size: int) -> None:
        self.now -= size
        del self.known[place]


def _tensors(tree: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def peak_bytes(call: Call) -> int:
    """The most that a call's tensors held at once, beside its inputs."""
    allocations = _Allocations()
    with allocations:
        call()
    return allocations.peak


def machine() -> dict[str, Any]:
    return {
        **reports.machine(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }


def show(head: str, row: dict[str, Any]) -> None:
    print(head)
    for name, cell in row.items():
        low, high = cell["quartiles"]
        text = f"  {name:20} {cell['median_ms']:8.3f} ms (min {cell['min_ms']:.3f})"
        text += f"  ours / it {cell['ours_over_it']:.2f} [{low:.2f}, {high:.2f}]"
        print(text + (f"  peak {cell['peak_tensors']:.1f}" if "peak_tensors" in cell else ""))
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--repeat", type=int, default=31, help="rounds")
    add("--threads", type=int, default=1)
    add("--cases", type=int, nargs="+", default=list(range(len(CASES))), help="indices of CASES")
    add("--no-compile", action="store_true", help="without torch.compile (needs a C++ compiler)")
    add("--cpu-time", action="store_true", help="CPU instead of wall time, for a busy machine")
    add("--json", type=Path, help="where to write the report")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    clock = time.process_time if options.cpu_time else time.perf_counter

    contenders: dict[str, Callable[..., LossAndMetrics]] = {
        OURS: ours,
        "plain": plain,
        "hand_fused": hand_fused,
    }
    spreaders: dict[str, Callable[..., torch.Tensor]] = {
        OURS: to_tokens,
        "where": spread_by_where,
        "product": spread_by_product,
    }
    if not options.no_compile:
        contenders["compiled"] = torch.compile(plain, dynamic=False)
        contenders["policy_loss_compiled"] = torch.compile(ours, dynamic=False)
    report: dict[str, Any] = {
        **reports.origin(),
        "seed": SEED,
        "clock": clock.__name__,
        "rounds": options.repeat,
        "machine": machine(),
        "policy_loss": [],
        "to_tokens": [],
    }
    for case in (CASES[index] for index in options.cases):
        check(case, contenders)
        tensors: dict[str, Any] = case.tensors()
        one_tensor = 4 * case.rows * case.width
        inner = max(5, 8_000_000 // one_tensor)

        calls: dict[str, Call] = {n: partial(step, c, tensors) for n, c in contenders.items()}
        row = time_calls(calls, options.repeat, inner, clock)
        for name, call in calls.items():
            if "compiled" not in name:
                row[name]["peak_tensors"] = peak_bytes(call) / one_tensor
        show(f"policy_loss, forward and backward, {case}", row)
        report["policy_loss"].append({"case": vars(case), "contenders": row})

        values = torch.randn(case.rows, generator=torch.Generator().manual_seed(SEED))
        for name, spread in spreaders.items():
            wrong = ~torch.isclose(
                spread(values, tensors["mask"]), to_tokens(values, tensors["mask"])
            )
            assert not wrong.any(), name
        calls = {name: partial(s, values, tensors["mask"]) for name, s in spreaders.items()}
        row = time_calls(calls, options.repeat, inner, clock)
        for name, call in calls.items():
            if "compiled" not in name:
                row[name]["peak_tensors"] = peak_bytes(call) / one_tensor
        show(f"to_tokens, ({case.rows}, {case.width}), {case.mask} mask", row)
        report["to_tokens"].append({"case": vars(case), "contenders": row})
    reports.write(options.json, report)


if __name__ == "__main__":
    main()
