"""Every error of the package, word by word."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch

from graphgpo.torch import policy_loss, spans_to_tokens, to_tokens, tokens_without_span

ONES = torch.ones(2, 3)
MASK = (
    "expected a dense (N, T) tensor, a nested (N, ragged) tensor with layout=torch.jagged, or a "
    "list or tuple of N 1-D masks"
)
TOKEN = "expected a number > 0 where the policy wrote a token and 0 elsewhere"
LAYOUT = (
    "expected a dense (B, T) tensor, a nested (B, ragged) one with layout=torch.jagged, or with "
    "cu_seqlens a packed (num_tokens,) or (1, num_tokens) one"
)
FLAT = torch.ones(6)
COUNT = "expected a finite number >= 0, or a 0-d tensor of one"
ROW_OFFSETS = "expected offsets from 0 to 6, the number of tokens, that never fall"


def rows(*lengths: int, entry: float = 1.0) -> torch.Tensor:
    values = torch.full((sum(lengths),), entry)
    return torch.nested.nested_tensor_from_jagged(values, torch.tensor([0, *lengths]).cumsum(0))


def loss(
    log_probs: Any = ONES, old: Any = None, advantages: Any = None, mask: Any = None, **options: Any
) -> Any:
    others = [log_probs if x is None else x for x in (old, advantages, mask)]
    return policy_loss(log_probs, *others, **options)


def packed_loss(*offsets: int, dtype: torch.dtype = torch.int64) -> Any:
    return loss(FLAT, cu_seqlens=torch.tensor(offsets, dtype=dtype), reduction="sequence_mean")


def ragged(values: torch.Tensor, *offsets: int) -> torch.Tensor:
    return torch.nested.nested_tensor_from_jagged(values, torch.tensor(offsets))


def narrowed() -> torch.Tensor:
    starts, lengths = torch.tensor([1, 0]), torch.tensor([2, 3])
    return torch.nested.narrow(torch.ones(2, 4), 1, starts, lengths, layout=torch.jagged)


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
        lambda: to_tokens(None, ONES),
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
        "advantages has shape (2,); expected (2, 3), the shape of log_probs; to_tokens spreads one "
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
        "mask is a NoneType; expected a tensor",
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
        "old_log_probs has shape (2, 3); expected (3,), the shape of log_probs",
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
        "reduction is 'mean'; expected one of 'token_mean', 'sequence_mean', 'sequence_sum_mean', "
        "'group_mean'",
    ),
    (
        lambda: policy_loss(ONES, ONES, ONES, ONES, kl="k1"),  # type: ignore[arg-type]
        ValueError,
        "kl is 'k1'; expected one of 'k3'",
    ),
    # masks that are none
    (
        lambda: to_tokens([1.0, 2.0], torch.tensor([[1, 1], [1, -100]])),
        ValueError,
        f"response_mask[1, 1] is -100; {TOKEN}; the mask of labels is `labels != -100`",
    ),
    (
        lambda: to_tokens([1.0], torch.tensor([[0.0, math.nan]])),
        ValueError,
        f"response_mask[0, 1] is nan; {TOKEN}",
    ),
    (
        lambda: to_tokens([1.0, 2.0], [[1], torch.tensor([1, -1])]),
        ValueError,
        f"response_mask[1][1] is -1; {TOKEN}; the mask of labels is `labels != -1`",
    ),
    (
        lambda: to_tokens([1.0], [[1, -100]]),
        ValueError,
        f"response_mask[0][1] is -100; {TOKEN}; the mask of labels is `labels != -100`",
    ),
    (
        lambda: to_tokens([1.0, 2.0], ragged(torch.tensor([1, 1, -100]), 0, 2, 3)),
        ValueError,
        f"response_mask[1][0] is -100; {TOKEN}; the mask of labels is `labels != -100`",
    ),
    (
        lambda: to_tokens([1.0], torch.tensor([[1j]])),
        TypeError,
        "response_mask has dtype torch.complex64; expected bools or real numbers",
    ),
    (
        lambda: spans_to_tokens([1.0], [0], [0], [2], response_mask=torch.tensor([[-100, 1]])),
        ValueError,
        f"response_mask[0, 0] is -100; {TOKEN}; the mask of labels is `labels != -100`",
    ),
    (
        lambda: tokens_without_span([0], [0], [2], torch.tensor([[math.nan, 1]])),
        ValueError,
        f"response_mask[0, 0] is nan; {TOKEN}",
    ),
    (
        lambda: loss(mask=torch.tensor([[1, 1, 1], [-100, 1, 1]])),
        ValueError,
        f"mask[1, 0] is -100; {TOKEN}; the mask of labels is `labels != -100`",
    ),
    (
        lambda: loss(mask=torch.tensor([[1, 1, math.nan], [1, 1, 1]])),
        ValueError,
        f"mask[0, 2] is nan; {TOKEN}",
    ),
    (
        lambda: loss(mask=torch.full((2, 3), -0.5, dtype=torch.float8_e5m2)),
        ValueError,
        f"mask[0, 0] is -0.5; {TOKEN}; the mask of labels is `labels != -0.5`",
    ),
    (
        lambda: loss(rows(2, 1), mask=ragged(torch.tensor([1, 1, -100]), 0, 2, 3)),
        ValueError,
        f"mask[1][0] is -100; {TOKEN}; the mask of labels is `labels != -100`",
    ),
    # spans under a mask
    (
        lambda: spans_to_tokens([1.0], [0], [0], [2]),
        TypeError,
        "shape is None; expected (B, T), or response_mask for its shape",
    ),
    (
        lambda: spans_to_tokens([1.0], [0], [0], [2], (3, 2), response_mask=ONES),
        ValueError,
        "shape is (3, 2) but response_mask has shape (2, 3); expected one of the two alone",
    ),
    (
        lambda: spans_to_tokens([1.0], [0], [0], [2], response_mask=[[1, 1]]),  # type: ignore[arg-type]
        TypeError,
        "response_mask is a list; expected a (B, T) tensor",
    ),
    (
        lambda: spans_to_tokens([1.0], [0], [0], [2], response_mask=ONES[0]),
        ValueError,
        "response_mask is a tensor of shape (3,); expected a (B, T) tensor",
    ),
    (
        lambda: spans_to_tokens([1.0], [0], [0], [2], response_mask=ONES, device="meta"),
        ValueError,
        "device is meta but response_mask is on cpu; expected one of the two alone",
    ),
    (
        lambda: tokens_without_span([0], [0], [1], None),  # type: ignore[arg-type]
        TypeError,
        "response_mask is a NoneType; expected a (B, T) tensor",
    ),
    (
        lambda: tokens_without_span([0], [0, 1], [1], ONES),
        ValueError,
        "starts has 2 entries but rows has 1; expected one entry per span",
    ),
    # columns on a device
    (
        lambda: to_tokens(ONES.to("meta"), ONES),
        ValueError,
        "step_values has shape (2, 3); expected (N,), one value per step",
    ),
    (
        lambda: to_tokens(torch.ones(2, dtype=torch.complex64, device="meta"), ONES),
        TypeError,
        "step_values has dtype torch.complex64; expected numbers",
    ),
    (
        lambda: spans_to_tokens([1.0], torch.ones(1, device="meta"), [0], [2], (1, 2)),
        TypeError,
        "rows has dtype torch.float32; expected integers",
    ),
    (
        lambda: spans_to_tokens([1.0], torch.ones(1, 1, device="meta").long(), [0], [2], (1, 2)),
        ValueError,
        "rows has shape (1, 1); expected (S,), one per span",
    ),
    # layouts
    (
        lambda: loss(torch.ones(2, 3, 4)),
        ValueError,
        f"log_probs is a tensor of shape (2, 3, 4); {LAYOUT}",
    ),
    (
        lambda: loss(torch.nested.nested_tensor([ONES], layout=torch.jagged)),
        ValueError,
        f"log_probs is a nested 3-D tensor with layout=torch.jagged; {LAYOUT}",
    ),
    (
        lambda: loss(ONES, cu_seqlens=torch.tensor([0, 6])),
        ValueError,
        f"log_probs is a tensor of shape (2, 3); {LAYOUT}",
    ),
    (
        lambda: loss(FLAT, reduction="sequence_mean"),
        ValueError,
        "log_probs is a tensor of shape (6,) without cu_seqlens; reduction 'sequence_mean' needs "
        "to know the rows",
    ),
    (
        lambda: loss(FLAT, ratio="sequence"),
        ValueError,
        "log_probs is a tensor of shape (6,) without cu_seqlens; ratio 'sequence' needs to know "
        "the rows",
    ),
    (
        lambda: loss(ONES, mask=rows(3, 3)),
        ValueError,
        "mask is a nested 2-D tensor with layout=torch.jagged; expected a dense one, as log_probs "
        "is",
    ),
    (
        lambda: loss(rows(3, 3), mask=ONES),
        ValueError,
        "mask is a tensor of shape (2, 3); expected a jagged nested one, as log_probs is",
    ),
    (
        lambda: loss(narrowed()),
        ValueError,
        "log_probs is a narrowed jagged tensor; expected a contiguous one, as .contiguous() makes "
        "of it",
    ),
    (
        lambda: loss(rows(3, 3), mask=rows(3)),
        ValueError,
        "mask has 1 rows; expected 2, as many as log_probs",
    ),
    (
        lambda: loss(rows(3, 3), mask=rows(3, 4)),
        ValueError,
        "row 1 of mask has 4 tokens; expected 3, as many as in log_probs",
    ),
    (
        lambda: loss(rows(3, 3), mask=ragged(torch.ones(7), 0, 3, 6)),
        ValueError,
        "mask has 7 tokens; expected 6, as many as log_probs",
    ),
    (
        lambda: loss(rows(3, 3), cu_seqlens=torch.tensor([0, 3, 6])),
        ValueError,
        "cu_seqlens was given but log_probs is jagged and knows its rows; expected None",
    ),
    (
        lambda: loss(ragged(FLAT, 0, 3, 5)),
        ValueError,
        f"the offsets of log_probs[2] is 5; {ROW_OFFSETS}",
    ),
    (lambda: packed_loss(1, 6), ValueError, f"cu_seqlens[0] is 1; {ROW_OFFSETS}"),
    (lambda: packed_loss(0, 4, 3, 6), ValueError, f"cu_seqlens[2] is 3; {ROW_OFFSETS}"),
    (lambda: packed_loss(0, 4, 5), ValueError, f"cu_seqlens[2] is 5; {ROW_OFFSETS}"),
    (lambda: packed_loss(0), ValueError, f"cu_seqlens[0] is 0; {ROW_OFFSETS}"),
    (
        lambda: packed_loss(0, 6, dtype=torch.int16),
        TypeError,
        "cu_seqlens has dtype torch.int16; expected torch.int32 or torch.int64",
    ),
    (
        lambda: packed_loss(),
        ValueError,
        "cu_seqlens is a tensor of shape (0,); expected a (B + 1,) integer tensor",
    ),
    (
        lambda: loss(FLAT, cu_seqlens=[0, 6]),
        TypeError,
        "cu_seqlens is a list; expected a (B + 1,) integer tensor",
    ),
    (
        lambda: loss(FLAT, cu_seqlens=torch.tensor([0, 6], device="meta")),
        ValueError,
        "cu_seqlens is on meta; expected cpu, the device of log_probs",
    ),
    (
        lambda: loss(
            torch.ones(6, device="meta"),
            cu_seqlens=torch.tensor([0], device="meta"),
            ratio="sequence",
        ),
        ValueError,
        "log_probs has 6 tokens in 0 rows; expected a row for each",
    ),
    # options and counts
    (
        lambda: loss(ratio="tokens"),
        ValueError,
        "ratio is 'tokens'; expected one of 'token', 'sequence'",
    ),
    (
        lambda: loss(num_sequences=2),
        ValueError,
        "num_sequences was given but reduction is 'token_mean', which takes num_tokens",
    ),
    (
        lambda: loss(group_ids=[0, 0], reduction="sequence_mean"),
        ValueError,
        "group_ids was given but reduction is 'sequence_mean', which takes num_sequences",
    ),
    (
        lambda: loss(num_tokens=True),
        TypeError,
        f"num_tokens is True (bool); {COUNT}",
    ),
    (lambda: loss(num_tokens=-1), ValueError, f"num_tokens is -1; {COUNT}"),
    (lambda: loss(num_tokens=math.nan), ValueError, f"num_tokens is nan; {COUNT}"),
    (
        lambda: loss(num_tokens=torch.tensor(-2)),
        ValueError,
        "num_tokens is -2; expected a finite number >= 0",
    ),
    (
        lambda: loss(num_tokens=torch.ones(2)),
        ValueError,
        "num_tokens is a tensor of shape (2,); expected one of shape ()",
    ),
    (
        lambda: loss(num_tokens=torch.tensor(True)),
        TypeError,
        "num_tokens has dtype torch.bool; expected a number",
    ),
    (
        lambda: loss(num_tokens=torch.tensor(1, device="meta")),
        ValueError,
        "num_tokens is on meta; expected cpu, the device of log_probs",
    ),
    (
        lambda: loss(reduction="group_mean"),
        ValueError,
        "reduction is 'group_mean' without group_ids; expected the group of every row, or "
        "num_tokens (those of each row's group) and num_groups",
    ),
    (
        lambda: loss(reduction="group_mean", num_tokens=torch.ones(2), group_ids=[0, 1]),
        ValueError,
        "group_ids and num_tokens were both given; expected one of them: num_tokens says what the "
        "groups of this call would be counted for",
    ),
    (
        lambda: loss(reduction="group_mean", num_tokens=6, num_groups=1),
        TypeError,
        "num_tokens is a int; expected a (2,) tensor with reduction 'group_mean': how many tokens "
        "the group of each row has",
    ),
    (
        lambda: loss(reduction="group_mean", num_tokens=torch.tensor([1, -1]), num_groups=1),
        ValueError,
        "num_tokens[1] is -1; expected a finite number >= 0",
    ),
    (
        lambda: loss(reduction="group_mean", group_ids=["a"]),
        ValueError,
        "group_ids has 1 entries; expected 2, one for each row",
    ),
    (
        lambda: loss(reduction="group_mean", group_ids=["a", None]),
        ValueError,
        "group_ids[1] is None; expected the id of a group",
    ),
    (
        lambda: loss(reduction="group_mean", group_ids=[math.nan, 1]),
        ValueError,
        "group_ids[0] is nan; expected the id of a group",
    ),
    (
        lambda: loss(reduction="group_mean", group_ids=["a", ["b"]]),
        TypeError,
        "group_ids[1] is ['b'] (list), which has no hash; expected the id of a group",
    ),
    (
        lambda: loss(reduction="group_mean", group_ids=5),
        TypeError,
        "group_ids is a int; expected a group for each row",
    ),
    (
        lambda: loss(reduction="group_mean", group_ids=torch.ones(2)),
        TypeError,
        "group_ids has dtype torch.float32; expected integers",
    ),
    (
        lambda: loss(reduction="group_mean", group_ids=torch.ones(3).long()),
        ValueError,
        "group_ids is a tensor of shape (3,); expected one of shape (2,), a group for each row",
    ),
    (
        lambda: loss(reduction="group_mean", group_ids=torch.ones(2, device="meta").long()),
        ValueError,
        "group_ids is on meta; expected cpu, the device of log_probs",
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


def test_without_torch_the_import_names_the_extra() -> None:
    program = "import sys; sys.modules['torch'] = None; import graphgpo.torch"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    last = run.stderr.strip().splitlines()[-1]
    assert last == "ImportError: graphgpo.torch needs torch; pip install 'graphgpo[torch]'"
    assert "Traceback" not in run.stderr.split("Traceback", 1)[1]  # no word of the first failure
