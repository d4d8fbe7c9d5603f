"""A check that the JSON values of a command have the annotated types."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from promoportal.sandbox.messages import Unreadable

_CALLED = {
    str: "a string",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}


def check(what: Callable[..., object], order: Mapping[str, object]) -> None:
    """Raise Unreadable if an argument for a function or a class has a wrong type."""
    hints = get_type_hints(what)
    for name, value in order.items():
        if name in hints and not _fits(value, hints[name]):
            raise Unreadable(f"{name} must be {_called(hints[name])}.")


def _fits(value: object, hint: Any) -> bool:
    origin, within = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(_fits(value, one) for one in within)
    if origin is Literal:
        return value in within
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return isinstance(value, Mapping)
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return isinstance(value, list) and all(_fits(one, within[0]) for one in value)
    return _is_a(value, hint)


def _is_a(value: object, hint: Any) -> bool:
    if hint is object or hint is Any:
        return True
    if hint is float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return math.isfinite(value)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)


def _called(hint: Any) -> str:
    origin, within = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return " or ".join(filter(None, (_called(one) for one in within)))
    if origin is Literal:
        return " or ".join(str(one) for one in within)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return "an object"
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return f"a list in which each value is {_called(within[0])}"
    return _CALLED.get(hint, "")  # JSON has no other values
