"""JSON bodies, parsed into values that Python and PostgreSQL can both store."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import NamedTuple, NoReturn, TypeAlias

Json: TypeAlias = (
    "bool | int | float | Decimal | str | list[Json] | dict[str, Json] | None"
)

# Deep enough for any response. Shallow enough that no code that walks through the value
# (this module, the JSON encoder, a template) reaches Python's recursion limit.
_DEEPEST = 64
_SHOWN = 40
# NUL and lone surrogates, which PostgreSQL's text and jsonb reject.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class NotJson(ValueError):
    """Bytes that are not JSON, or JSON that must not be stored."""


class Unusable(str):
    """The replacement for a value that cannot be stored, such as NaN."""

    __slots__ = ()


def parse(body: bytes, *, forgiving: bool = False) -> Json:
    """
    Return the parsed JSON with exact numbers: a fraction is a Decimal with its digits.

    Return None for an empty body, which Optimove sends for a call without a result.
    With `forgiving`, a value that cannot be stored becomes `Unusable`, and the other
    values stay usable. `clean` reports an `Unusable` value as changed.

    :raises NotJson: with a sentence that describes the problem
    """
    number, constant, whole = _STRICT if not forgiving else _FORGIVING
    try:
        text = body.decode("utf-8-sig")
        if not text.strip():
            return None
        value: Json = json.loads(
            text, parse_float=number, parse_constant=constant, parse_int=whole
        )
    except RecursionError:
        raise NotJson("It is nested too deep.") from None
    except UnicodeDecodeError:
        raise NotJson("It is not UTF-8.") from None
    except InvalidOperation:
        raise NotJson("A number is out of range.") from None
    except ValueError as error:  # includes a number with more digits than Python reads
        raise NotJson(f"It is not JSON: {_reason(error)}.") from None
    if forgiving:
        return _shallow(value)
    _refuse_depth(value)
    return value


def _fraction(digits: str) -> Decimal:
    if len(digits) > 1000:
        raise ValueError("a number has too many digits")
    number = Decimal(digits)
    if not number.is_finite() or abs(number.adjusted()) > 1000:
        raise ValueError("a number is out of range")
    return number


def _refuse_constant(name: str) -> NoReturn:
    msg = f"{name} is no JSON number"
    raise ValueError(msg)


def _lenient(read: Callable[[str], Json]) -> Callable[[str], Json]:
    def read_leniently(digits: str) -> Json:
        try:
            return read(digits)
        except (ValueError, InvalidOperation):
            return Unusable(f"\ufffd{digits[:_SHOWN]}")

    return read_leniently


_STRICT = (_fraction, _refuse_constant, int)
_FORGIVING = (_lenient(_fraction), _lenient(_refuse_constant), _lenient(int))


def _shallow(value: Json, depth: int = 0) -> Json:
    """Return the value, with `Unusable` for each object or list nested too deeply."""
    if depth == _DEEPEST and isinstance(value, dict | list):
        return Unusable("\ufffdnested too deep")
    if isinstance(value, dict):
        return {name: _shallow(item, depth + 1) for name, item in value.items()}
    if isinstance(value, list):
        return [_shallow(item, depth + 1) for item in value]
    return value


def _reason(error: ValueError) -> str:
    """Return the problem, and its position if known, without the document's text."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.pos}"
    return str(error).partition(";")[0]


def _refuse_depth(value: Json) -> None:
    level: list[Json] = [value]
    for _ in range(_DEEPEST):
        level = [child for node in level for child in _children(node)]
        if not level:
            return
    raise NotJson("It is nested too deep.")


def _children(node: Json) -> list[Json]:
    if isinstance(node, dict):
        return list(node.values())
    return node if isinstance(node, list) else []


class Cleaned(NamedTuple):
    """A value that PostgreSQL can store, and whether part of it was replaced."""

    value: Json
    changed: bool


def clean(value: Json) -> Cleaned:
    """
    Return a parsed value that jsonb can store.

    U+FFFD replaces each character that jsonb cannot store. A Decimal becomes a float if
    the float is equal, and text otherwise.
    """
    if isinstance(value, str):
        text = clean_text(value)
        return Cleaned(text, text != value or isinstance(value, Unusable))
    if isinstance(value, Decimal):
        return Cleaned(_plain(value), changed=False)
    if isinstance(value, list):
        items = [clean(item) for item in value]
        return Cleaned([item.value for item in items], any(i.changed for i in items))
    if isinstance(value, dict):
        return _clean_object(value)
    return Cleaned(value, changed=False)


def _clean_object(value: dict[str, Json]) -> Cleaned:
    pairs = [(clean_text(key), key, clean(item)) for key, item in value.items()]
    changed = any(name != key or item.changed for name, key, item in pairs)
    return Cleaned({name: item.value for name, _, item in pairs}, changed)


def clean_text(text: str) -> str:
    """Replace the characters that PostgreSQL cannot store: NUL and lone surrogates."""
    return _UNSTORABLE.sub("\ufffd", text)


def _plain(number: Decimal) -> float | str:
    # repr() is the shortest text of the float. If it is the same decimal, no digit is
    # lost.
    approximate = float(number) if abs(number.adjusted()) < 300 else 0.0
    return approximate if Decimal(repr(approximate)) == number else str(number)


def encode(body: Json) -> bytes:
    """Return JSON in ASCII, so that even a lone surrogate survives the transfer."""
    return json.dumps(body, allow_nan=False, separators=(",", ":")).encode()
