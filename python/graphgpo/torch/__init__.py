"""Step advantages on tokens, and the loss that trains on them. Needs torch.

`to_tokens` is for trainers with one row per step, `spans_to_tokens` for those with one row per
trajectory (`tokens_without_span` counts what their spans leave out); `policy_loss` takes what
either returns.

Values in host memory are checked, and what is wrong with them raises. Values on a device are not
waited for, and neither are those of a call that is being traced (torch.compile, torch.func): what
needs no value is checked as always, and what a value breaks becomes NaN in the result.
"""

from __future__ import annotations

try:
    import torch as _torch  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "torch":
        raise
    raise ImportError("graphgpo.torch needs torch; pip install 'graphgpo[torch]'") from None

from graphgpo.torch.loss import policy_loss
from graphgpo.torch.spans import spans_to_tokens, tokens_without_span
from graphgpo.torch.tokens import to_tokens

__all__ = ["policy_loss", "spans_to_tokens", "to_tokens", "tokens_without_span"]
