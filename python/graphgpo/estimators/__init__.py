"""Credit estimators, one file each: the published family and graphgpo's own.

A file of this folder is an estimator: its name is the file's, its class is found here by its own.
Whatever lists estimators (the command line, configs, documents, tests) asks `names()`.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from typing import Any

from graphgpo.estimators._base import Estimator, check_needs, check_options, option

__all__ = ["Estimator", "check_needs", "load", "make", "names", "option", "several"]


@functools.cache
def names() -> tuple[str, ...]:
    """All estimators that come with the package, by name.

    >>> "graphgpo" in names()
    True
    """
    found = (module.name for module in pkgutil.iter_modules(__path__))
    return tuple(sorted(name for name in found if not name.startswith("_")))


def load(name: str) -> type[Estimator]:
    """The class of a name.

    >>> load("gigpo")().gamma
    0.95
    """
    if not isinstance(name, str):
        raise TypeError(f"estimator is a {type(name).__name__}; expected a name")
    return _loaded(str(name))


@functools.cache
def _loaded(name: str) -> type[Estimator]:
    if name not in names():
        raise ValueError(f"estimator is {name!r}; {_suggestion(name)}")
    module = importlib.import_module(f"{__name__}.{name}")
    (cls,) = (
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Estimator)
        and value.__module__ == module.__name__
    )
    return cls


def make(estimator: Any, options: Mapping[str, Any] | None = None) -> Estimator:
    """An estimator from a name, a mapping, or an `Estimator`, with `options` on top.

    A mapping (a dict, an OmegaConf node, a dataclass) holds options, and its name under
    "estimator"; without one it is GraphGPO.

    Raises `TypeError` for an unknown option, with what may have been meant, and `ValueError` for an
    unknown name or a value out of range.

    >>> make("hgpo", {"history": 4}).history
    4
    >>> make({"estimator": "gigpo", "gamma": 0.9}).gamma
    0.9
    >>> make("graphgpo", {"omgea": 0.8})
    Traceback (most recent call last):
    ...
    TypeError: unknown option 'omgea' of estimator 'graphgpo'; did you mean 'omega'?
    """
    options = {} if options is None else options
    if not isinstance(options, Mapping):
        raise TypeError(
            f"options is a {type(options).__name__}; expected a mapping of names to values"
        )
    if isinstance(estimator, str):
        flat = [each for item in options.items() for each in item]
        try:
            hash(tuple(flat))
        except TypeError:
            return _made(load(estimator), options)
        return _made_once(estimator, *flat)
    if isinstance(estimator, Estimator):
        return estimator.replaced(**options)
    if isinstance(estimator, type) and issubclass(estimator, Estimator):
        return _made(estimator, options)
    given = _as_mapping(estimator)
    name = given.pop("estimator", "graphgpo")
    return make(name, {**given, **options})


def several(argument: str, chosen: Any) -> list[Estimator]:
    """Those of an argument that takes several: a list of names, mappings or estimators."""
    if isinstance(chosen, (str, Mapping)) or not isinstance(chosen, Iterable):
        raise TypeError(
            f"{argument} is {chosen!r} ({type(chosen).__name__}); expected several estimators: a "
            "list of names, mappings or Estimators"
        )
    return [make(estimator) for estimator in chosen]


@functools.lru_cache(maxsize=64, typed=True)  # True is no 1
def _made_once(name: str, *options: Any) -> Estimator:
    """Of names and values of options in turn, made and checked once."""
    return _made(load(name), dict(zip(options[::2], options[1::2], strict=True)))


def _made(cls: type[Estimator], options: Mapping[str, Any]) -> Estimator:
    check_options(cls, options)
    try:
        return cls(**options)
    except TypeError as error:
        # A dataclass says which arguments are missing, in its own words.
        missing = str(error).partition("keyword-only argument")[2].partition(":")[2].strip()
        if "missing" not in str(error) or not missing:
            raise
        raise TypeError(
            f"estimator {cls.name!r} needs {missing}, which has no default: pass it as an option"
        ) from None


def _as_mapping(given: object) -> dict[str, Any]:
    import dataclasses

    if dataclasses.is_dataclass(given) and not isinstance(given, type):
        return {field.name: getattr(given, field.name) for field in dataclasses.fields(given)}
    if isinstance(given, Mapping):
        return dict(given)
    raise TypeError(
        f"estimator is a {type(given).__name__}; expected a name, a mapping of option names to "
        "values, or an Estimator"
    )


def _suggestion(name: object) -> str:
    import difflib

    close = difflib.get_close_matches(str(name), names(), n=1)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"expected one of {', '.join(map(repr, names()))}"


def __getattr__(name: str) -> Any:
    """The class of that name: they are imported when they are asked for."""
    for module in names():
        if module.replace("_", "") == name.lower() and load(module).__name__ == name:
            return load(module)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *(load(name).__name__ for name in names())])
