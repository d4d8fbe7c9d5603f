"""Masking of the unique codes of assignments in texts that staff see."""

from __future__ import annotations

import re
from collections.abc import Iterable

from rewards.models import Assignment

# Shorter codes are not masked, because they also occur inside ordinary words.
_SHORTEST = 4
# Characters that JSON may escape with a backslash.
_ESCAPED = '/"\\'


def redact_code(text: str, row: Assignment) -> str:
    """Mask the code of a row in a text, which may quote Optimove or the platform."""
    return without(text, [row.unique_code])


def without(text: str, codes: Iterable[str]) -> str:
    """Mask these codes in a text, also where they are escaped for JSON or a URL."""
    for code in codes:
        if len(code) >= _SHORTEST:
            # Not `re.sub`: the visible end of a code could look like a group reference.
            text = masked(code).join(re.split("".join(map(_written, code)), text))
    return text


def _written(char: str) -> str:
    """
    Return a pattern that matches a character, plain or escaped for JSON or a URL.

    JSON inside JSON escapes a character with several backslashes.
    """
    units = char.encode("utf-16-be").hex()
    escaped = "".join(rf"\\+u{units[at : at + 4]}" for at in range(0, len(units), 4))
    in_address = "".join(f"%{byte:02x}" for byte in char.encode())
    plain = rf"\\*{re.escape(char)}" if char in _ESCAPED else re.escape(char)
    return f"(?:{plain}|(?i:{escaped})|(?i:{in_address}))"


def masked(code: str) -> str:
    """Return the masked code; the last four characters of a long code stay visible."""
    return f"••••{code[-4:]}" if len(code) > 8 else "••••" if code else ""
