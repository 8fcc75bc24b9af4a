"""What an estimator is: options, and the terms they make."""

from __future__ import annotations

import dataclasses
import functools
import math
import numbers
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, TypeVar, get_args, get_origin, get_type_hints

from graphgpo.blocks import Needs, Term

if sys.version_info >= (3, 11):
    from typing import dataclass_transform
else:  # what type checkers look for is its name

    def dataclass_transform(**_: Any) -> Callable[[Any], Any]:
        return lambda decorated: decorated


@dataclasses.dataclass(frozen=True)
class Range:
    """The numbers an option may have."""

    allows: Callable[[float], bool]
    words: str


OPEN_UNIT = Range(lambda x: 0.0 < x < 1.0, "a number between 0 and 1, both excluded")
UNIT = Range(lambda x: 0.0 <= x <= 1.0, "a number in [0, 1]")
POSITIVE = Range(lambda x: 0.0 < x < math.inf, "a finite number > 0")
NOT_NEGATIVE = Range(lambda x: 0.0 <= x < math.inf, "a finite number >= 0")
FINITE = Range(math.isfinite, "a finite number")
# A thousand to the power of a hundred is 1e300: still a float64.
EXPONENT = Range(lambda x: 0 <= x <= 100, "a number in [0, 100]")
# Every one is a level of its own in some estimators; no rollout is a thousand turns long.
HISTORY = Range(lambda x: 0 <= x <= 1000 and x == int(x), "an int in [0, 1000]")

REQUIRED: Any = dataclasses.MISSING
"""Instead of a default: the option must be given."""


def option(default: Any, allowed: Range | None, meaning: str) -> Any:
    """A field of an estimator: its default, the numbers it may have, and a sentence."""
    return dataclasses.field(default=default, metadata={"allowed": allowed, "meaning": meaning})


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Estimator:
    """Where a step's credit comes from. Subclass it: annotated fields are options.

    A subclass is made a frozen, keyword-only dataclass. `terms()` names its blocks. `step_weight`
    and `episode_weight`, options where an estimator has them, weigh the two parts of the advantage.

    >>> from graphgpo.blocks import MeanStd, ReturnToGo, Task, Term
    >>> class Stepwise(Estimator):
    ...     gamma: float = 0.5
    ...
    ...     def terms(self):
    ...         return [Term(ReturnToGo(self.gamma, 1.0), peers=Task(), normaliser=MeanStd())]
    >>> Stepwise(gamma=0.9)
    Stepwise(gamma=0.9)
    """

    name: ClassVar[str]
    """What it is called: the class name in snake case, unless said."""

    source: ClassVar[str] = ""
    """The paper."""

    mark: ClassVar[Literal["C", "P", "R", ""]] = ""
    """How it was checked. C: against outputs of its authors' code. P: equations read in the paper,
    no public code. R: from second-hand text, our reading."""

    step_weight: Any = 1.0
    episode_weight: Any = 1.0

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if "name" not in vars(cls):
            cls.name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()
        dataclasses.dataclass(frozen=True, kw_only=True)(cls)

    def terms(self) -> list[Term]:
        """The summands of the advantage."""
        raise TypeError(
            f"{type(self).__name__} has no terms(); an estimator names its blocks there"
        )

    @property
    def needs(self) -> Needs:
        """The columns it needs: of each tuple one."""
        needs: Needs = frozenset()
        terms: Any = self.terms()
        if not isinstance(terms, (list, tuple)) or not all(isinstance(t, Term) for t in terms):
            raise TypeError(
                f"terms() of {type(self).__name__} gave {terms!r}; expected a list of "
                "graphgpo.blocks.Term"
            )
        if not terms:
            raise ValueError(f"terms() of {type(self).__name__} gave none; expected one or more")
        for term in terms:
            needs |= term.needs
        return needs

    @functools.cached_property
    def needs_in_order(self) -> list[tuple[str, ...]]:
        """The same, always in one order. Kept: naming the terms is a third of a tiny call."""
        return sorted(self.needs, key=lambda names: (len(names), names))

    def __post_init__(self) -> None:
        cls: Any = type(self)
        hints = _hints(cls)
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            hint = hints.get(field.name)
            if get_origin(hint) is Literal:
                _check_choice(field.name, value, get_args(hint))
            elif allowed := field.metadata.get("allowed"):
                number = _checked_number(field.name, value, allowed)
                object.__setattr__(self, field.name, int(number) if hint is int else number)
            elif hint is bool and not isinstance(value, bool):
                raise TypeError(f"{field.name} is {value!r}; expected a bool")

    def replaced(self: EstimatorT, **options: Any) -> EstimatorT:
        """The same estimator with other options."""
        check_options(type(self), options)
        return dataclasses.replace(self, **options) if options else self  # type: ignore[type-var]

    def options(self) -> dict[str, Any]:
        """Every option and its value."""
        return {name: getattr(self, name) for name in option_names(type(self))}


@functools.cache
def _hints(cls: Any) -> dict[str, Any]:
    try:
        return get_type_hints(cls)
    except NameError:  # a class inside a function, with types of that function
        return {}


EstimatorT = TypeVar("EstimatorT", bound=Estimator)


def option_names(cls: type[Estimator]) -> tuple[str, ...]:
    """The options of an estimator."""
    return tuple(field.name for field in dataclasses.fields(cls))  # type: ignore[arg-type]


def check_options(cls: type[Estimator], options: Mapping[str, Any]) -> None:
    """Refuse what is no option of `cls`, with what may have been meant."""
    for name in options:
        if name not in option_names(cls):
            raise TypeError(
                f"unknown option {name!r} of estimator {cls.name!r}; {_hint(cls, name)}"
            )


def check_needs(estimator: Estimator, columns: Mapping[str, Any]) -> None:
    """Refuse an estimator whose columns are not given."""
    for names in estimator.needs_in_order:
        for name in names:
            if columns.get(name) is not None:
                break
        else:
            is_one = len(names) == 1
            raise ValueError(
                f"{', '.join(names)} {'is' if is_one else 'are'} None; estimator "
                f"{estimator.name!r} needs {'it' if is_one else 'one of them'}: one value per step"
            )


def _hint(cls: type[Estimator], name: object) -> str:
    import difflib

    from graphgpo.columns import COLUMNS, MERGING

    if name == "gamma" and "omega" in option_names(cls):
        return "it has no discount (the official recipe's `algorithm.gamma` is `omega` here)"
    if name in ("spread_weight", "spread_actions", "spread_scale"):
        return (
            "spread credit stands beside a step term; policies trained on outcomes alone do not "
            "collapse, and gain nothing from it"
        )
    known = [*COLUMNS, *MERGING, *option_names(cls)]  # a column first: `reward` means `rewards`
    for candidate in (f"{name}s", str(name)):
        if candidate in known:
            return f"did you mean {candidate!r}?"
    close = difflib.get_close_matches(str(name), known, n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"its options are {', '.join(option_names(cls)) or 'none'}"


def _check_choice(name: str, value: object, choices: tuple[Any, ...]) -> None:
    if not any(
        value is choice or (type(value) is type(choice) and value == choice) for choice in choices
    ):
        raise ValueError(f"{name} is {value!r}; expected one of {', '.join(map(repr, choices))}")


def _checked_number(name: str, value: object, allowed: Range) -> float:
    # bool is an int in Python; an option that is True is a mistake, not 1.0.
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} is {value!r} ({type(value).__name__}); expected {allowed.words}")
    try:
        number = float(value)
    except OverflowError:  # an int may be more than a float holds
        number = math.inf
    if not math.isfinite(number) or not allowed.allows(number):
        raise ValueError(f"{name} is {value!r}; expected {allowed.words}")
    return number
