"""What is probably wrong with a batch, in words, and what mends it.

`StepAdvantages.problems()` finds them; trainers log those of their first batch. What a name means
at length: ``python -m graphgpo.problems``.
"""

from __future__ import annotations

from graphgpo.problems.problem import Advice, Problem, Problems
from graphgpo.problems.search import problems_of
from graphgpo.problems.warning import LostCreditWarning

__all__ = ["Advice", "LostCreditWarning", "Problem", "Problems", "problems_of"]
