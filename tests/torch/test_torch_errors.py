"""Every error of the package, word by word."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from graphgpo.torch import policy_loss, spans_to_tokens, to_tokens

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
