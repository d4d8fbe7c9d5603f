"""Bodies: bytes in, values that Python and PostgreSQL can both hold out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from typing import NamedTuple, NoReturn, TypeAlias

Json: TypeAlias = (
    "bool | int | float | Decimal | str | list[Json] | dict[str, Json] | None"
)

# Deep enough for any answer, shallow enough that whoever walks the value, here, in the
# JSON encoder or in a template, never meets Python's own limit.
_DEEPEST = 64
_SHOWN = 40
# PostgreSQL's text and jsonb refuse both.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class NotJson(ValueError):
    """Bytes that are not JSON, or not JSON anyone should hold."""


class Unheld(str):
    """What was there instead of a value that nobody can hold: a NaN, a depth of 70."""

    __slots__ = ()


def parse(body: bytes, *, forgiving: bool = False) -> Json:
    """
    Read JSON with its numbers exact: a fraction is a Decimal with the digits as sent.

    Nothing at all is None, as the vendor answers a call that has nothing to say. With
    `forgiving`, a value nobody can hold is `Unheld`, which `clean` calls changed, so
    that one bad value does not spoil all that stands beside it.

    :raises NotJson: with a sentence
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
    except ValueError as error:  # also more digits than Python will read
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


def _unheld(read: Callable[[str], Json]) -> Callable[[str], Json]:
    def forgive(said: str) -> Json:
        try:
            return read(said)
        except (ValueError, InvalidOperation):
            return Unheld(f"\ufffd{said[:_SHOWN]}")

    return forgive


_STRICT = (_fraction, _refuse_constant, int)
_FORGIVING = (_unheld(_fraction), _unheld(_refuse_constant), _unheld(int))


def _shallow(value: Json, depth: int = 0) -> Json:
    """The value without what is nested too deep."""
    if depth == _DEEPEST and isinstance(value, dict | list):
        return Unheld("\ufffdnested too deep")
    if isinstance(value, dict):
        return {name: _shallow(item, depth + 1) for name, item in value.items()}
    if isinstance(value, list):
        return [_shallow(item, depth + 1) for item in value]
    return value


def _reason(error: ValueError) -> str:
    """Say what and where, without the document an error may carry."""
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
    """A value PostgreSQL can keep, and whether any of its text had to change for that."""

    value: Json
    changed: bool


def clean(value: Json) -> Cleaned:
    """
    Make a parsed value storable as jsonb: what text cannot hold becomes U+FFFD.

    An exact fraction becomes a plain number where that says the same, or else text.
    """
    if isinstance(value, str):
        text = clean_text(value)
        return Cleaned(text, text != value or isinstance(value, Unheld))
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
    """Replace what PostgreSQL's text cannot hold: NUL and halves of characters."""
    return _UNSTORABLE.sub("\ufffd", text)


def _plain(number: Decimal) -> float | str:
    # repr() is the shortest text that means the same float: if that is also the same
    # decimal, nothing is lost.
    approximate = float(number) if abs(number.adjusted()) < 300 else 0.0
    return approximate if Decimal(repr(approximate)) == number else str(number)


def encode(body: Json) -> bytes:
    """Write JSON in ASCII, so that even half a character survives the way."""
    return json.dumps(body, allow_nan=False, separators=(",", ":")).encode()
