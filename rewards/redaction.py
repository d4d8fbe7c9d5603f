"""Who may see an assignment's code, and what was said of it as it came."""

from __future__ import annotations

import re
from collections.abc import Iterable

from rewards.models import Assignment

# Less than this is no code, and stands in many a word.
_SHORTEST = 4
# What stands with a stroke before it in JSON.
_ESCAPED = '/"\\'


def redact_code(text: str, row: Assignment) -> str:
    """What somebody said about the row, without its code: a far side may repeat it."""
    return without(text, [row.unique_code])


def without(text: str, codes: Iterable[str]) -> str:
    """A text without these codes, in whatever form they stand in it."""
    for code in codes:
        if len(code) >= _SHORTEST:
            # What is put in its place is no pattern, whatever the code ends with.
            text = masked(code).join(re.split("".join(map(_written, code)), text))
    return text


def _written(char: str) -> str:
    """
    How one character may be written: as it is, or as JSON or an address writes it; in
    JSON within JSON with more strokes before it.
    """
    units = char.encode("utf-16-be").hex()
    escaped = "".join(rf"\\+u{units[at : at + 4]}" for at in range(0, len(units), 4))
    in_address = "".join(f"%{byte:02x}" for byte in char.encode())
    plain = rf"\\*{re.escape(char)}" if char in _ESCAPED else re.escape(char)
    return f"(?:{plain}|(?i:{escaped})|(?i:{in_address}))"


def masked(code: str) -> str:
    """Enough to recognise a code by, not to use it."""
    return f"••••{code[-4:]}" if len(code) > 8 else "••••" if code else ""
