"""Who may see an assignment's code, and what was said of it as it came."""

from __future__ import annotations

import json
from urllib.parse import quote

from promoportal.admin.revealing import Reveal
from rewards.models import Assignment

# What may hold a code, or what Optimove knows of a customer.
CODES = Reveal(
    Assignment,
    "rewards.reveal_assignment",
    "Show code and payloads",
    said=("shows its code and payloads", "show their codes and payloads"),
    instead={
        "unique_code": "masked_code",
        "vendors_row": "hidden_row",
        "what_is_sent": "hidden_order",
    },
)
# Less than this is no code, and stands in many a word.
_SHORTEST = 4


def hidden(text: str, row: Assignment) -> str:
    """What somebody said about the row, without its code: a far side may repeat it."""
    code = row.unique_code
    if len(code) < _SHORTEST:
        return text
    for form in (code, json.dumps(code)[1:-1], code.replace("/", "\\/"), quote(code)):
        text = text.replace(form, masked(code))
    return text


def masked(code: str) -> str:
    """Enough to recognise a code by, not to use it."""
    return f"••••{code[-4:]}" if len(code) > 8 else "••••" if code else ""
