"""Remove the unique codes of assignments from texts that staff see."""

from __future__ import annotations

import re
from collections.abc import Iterable

from rewards.models import Assignment

# Shorter texts are not codes, and occur inside ordinary words.
_SHORTEST = 4
# Characters that JSON escapes with a backslash.
_ESCAPED = '/"\\'


def redact_code(text: str, row: Assignment) -> str:
    """Mask the code of a row in a text, which may quote Optimove or the platform."""
    return without(text, [row.unique_code])


def without(text: str, codes: Iterable[str]) -> str:
    """Mask these codes in a text, in every form that `_written` knows."""
    for code in codes:
        if len(code) >= _SHORTEST:
            # Not `re.sub`: the end of the code could be a reference to a group.
            text = masked(code).join(re.split("".join(map(_written, code)), text))
    return text


def _written(char: str) -> str:
    """
    Return a pattern for a character: itself, or escaped in JSON or in a URL.

    JSON inside JSON has more than one backslash.
    """
    units = char.encode("utf-16-be").hex()
    escaped = "".join(rf"\\+u{units[at : at + 4]}" for at in range(0, len(units), 4))
    in_address = "".join(f"%{byte:02x}" for byte in char.encode())
    plain = rf"\\*{re.escape(char)}" if char in _ESCAPED else re.escape(char)
    return f"(?:{plain}|(?i:{escaped})|(?i:{in_address}))"


def masked(code: str) -> str:
    """Return as much of a code as is needed to recognise it, but not to use it."""
    return f"••••{code[-4:]}" if len(code) > 8 else "••••" if code else ""
