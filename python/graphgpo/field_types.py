"""Dataclasses whose fields are what their annotations say: the one list of what may stand where."""

from __future__ import annotations

import functools
import numbers
from dataclasses import fields
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints


def check_fields(instance: Any) -> None:
    """Every field holds what its annotation says: a number, a word, an instance, or tuples of them.

    Raises
    ------
    TypeError, ValueError
        Naming the field, its class, the value and what was expected; `ValueError` for a word that
        is none.
    """
    cls: Any = type(instance)
    for name, hint in _hints(cls).items():
        value = getattr(instance, name)
        if _fits(value, hint):
            continue
        shown = _in_short(value)
        if isinstance(value, tuple) and value:
            shown = f"a tuple with {_in_short(next(one for one in value if not _fits(one, hint)))}"
        refusal = ValueError if type(value) in map(type, _words_of(hint)) else TypeError
        raise refusal(f"{name} of {cls.__name__} is {shown}; expected {_in_words(hint)}")


@functools.cache
def _hints(cls: type[Any]) -> dict[str, Any]:
    """The types of its fields, by name."""
    hints = get_type_hints(cls)
    return {field.name: hints[field.name] for field in fields(cls)}


def _fits(value: Any, hint: Any) -> bool:
    if hint is Any:
        return True
    if get_origin(hint) in (Union, UnionType):
        return any(_fits(value, one) for one in get_args(hint))
    if get_origin(hint) is Literal:
        return type(value) in (str, int) and value in get_args(hint)
    if get_origin(hint) is tuple:  # of any length
        return isinstance(value, tuple) and all(_fits(one, get_args(hint)[0]) for one in value)
    if hint in (float, int):
        kind = numbers.Real if hint is float else numbers.Integral
        return isinstance(value, kind) and not isinstance(value, bool)
    return not isinstance(hint, type) or type(value) is hint  # who knows it, knows no subclass


def _in_short(value: Any) -> str:
    is_plain = isinstance(value, (str, int, float, type(None)))
    return repr(value) if is_plain else f"a {type(value).__name__}"


def _alternatives(hint: Any) -> list[Any]:
    """The types that a union joins, those in tuples too, each once."""
    if get_origin(hint) in (Union, UnionType, tuple):
        inner = [one for arg in get_args(hint) if arg is not ... for one in _alternatives(arg)]
        return list(dict.fromkeys(inner))
    return [hint]


def _words_of(hint: Any) -> tuple[str | int, ...]:
    """The words, or numbers, that a field may hold."""
    return tuple(
        word for one in _alternatives(hint) if get_origin(one) is Literal for word in get_args(one)
    )


def _in_words(hint: Any) -> str:
    if words := _words_of(hint):
        return f"one of {', '.join(map(repr, words))}"
    plain = {float: "a number", int: "an int", bool: "a bool", type(None): "None"}
    return " or ".join(plain.get(one) or one.__name__ for one in _alternatives(hint))
