"""Spread credit, which every estimator with a step term has as an option."""

from __future__ import annotations

from typing import Any

from graphgpo.blocks import Live, Mean, Modifier, NobodyWon, SameState, Surprisal, Term
from graphgpo.estimators import _options as opt
from graphgpo.estimators._base import Estimator


class StepEstimator(Estimator):
    """An estimator with a step term, whose `terms()` end in `spread_terms()`."""

    spread_weight: float = opt.spread_weight(0.0)
    spread_actions: bool = opt.spread_actions(False)
    spread_scale: opt.SpreadScale = opt.spread_scale("plain")

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        # What lists the options of an estimator begins with its own.
        fields: dict[str, Any] = cls.__dataclass_fields__
        for name in StepEstimator.__annotations__:
            fields[name] = fields.pop(name)

    def spread_terms(self) -> list[Term]:
        """The surprisal of the step's target among the steps from its state, less their mean, in
        groups that nobody won; none without a weight.
        """
        if self.spread_weight == 0:
            return []
        live: tuple[Modifier, ...] = (Live(),) if self.spread_scale == "live" else ()
        return [
            Term(
                Surprisal(self.spread_actions),
                peers=SameState(),
                normaliser=Mean(),
                modifiers=(NobodyWon(), *live),
                weight=self.spread_weight,
            )
        ]
