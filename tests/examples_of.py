"""An example of every estimator, found from its fields, for tests of what holds of all of them."""

from __future__ import annotations

import dataclasses
from typing import Any

from graphgpo import estimators
from graphgpo.estimators import Estimator


def an_example(name: str) -> dict[str, Any]:
    """The name under "estimator", and a half for every option without a default."""
    cls = estimators.load(name)
    required = {
        field.name: 0.5
        for field in dataclasses.fields(cls)  # type: ignore[arg-type]
        if field.default is dataclasses.MISSING
    }
    return {"estimator": name, **required}


def an_estimator(name: str) -> Estimator:
    """The same as an `Estimator`."""
    return estimators.make(an_example(name))
