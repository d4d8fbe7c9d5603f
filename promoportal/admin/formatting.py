"""Formatting of values for pages. Functions that return HTML escape their arguments."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.timesince import timesince
from django.utils.timezone import localtime, now

from promoportal.db.display_names import Named

# Maximum characters of a body on a page: much longer pages overload a browser.
MAX_LENGTH = 64 * 1024

# The tone and the mark of each state. Some readers cannot tell colours apart.
_TONES = {
    "good": ("✓", ("ACTIVE", "REPORTED", "SETTLED", "READ", "DONE", "NONE")),
    "busy": ("▸", ("ACTIVATING", "REPORTING", "COLLECTING")),
    "next": ("○", ("OWED", "WAITING", "UNREAD")),
    "doubt": ("?", ("UNCERTAIN",)),
    "held": ("!", ("HELD", "CANCELLED")),
    "paused": ("‖", ("PAUSED",)),
    "over": ("◌", ("VOID", "IGNORED", "WRITTEN_OFF", "IDLE")),
}
_LOOKS = {
    state: (tone, mark) for tone, (mark, states) in _TONES.items() for state in states
}


def badge(state: str, label: str) -> SafeString:
    """Return a state as a mark, a word and a colour."""
    tone, mark = _LOOKS.get(state, ("over", "·"))
    return stamp(tone, mark, label)


@admin.display(description="state")
def state_badge(row: Any) -> SafeString:
    """Return the badge of a row's state; also a list column."""
    return badge(row.state, str(row.get_state_display()))


def stamp(tone: str, mark: str, label: str) -> SafeString:
    return format_html(
        '<span class="state state-{}"><span aria-hidden="true">{}</span> {}</span>',
        tone,
        mark,
        label,
    )


def moment(at: datetime | None) -> SafeString:
    """Return a time to the second, or an empty text for None."""
    if at is None:
        return SafeString("")
    local = localtime(at)
    return format_html(
        '<time datetime="{}">{}</time>', local.isoformat(), f"{local:%Y-%m-%d %H:%M:%S}"
    )


def since(at: datetime | None) -> SafeString:
    """Return a time and how long ago it was, or an empty text for None."""
    if at is None:
        return SafeString("")
    return format_html('{} <span class="ago">{}</span>', moment(at), ago(at))


def ago(at: datetime) -> str:
    """Return how long ago a time was, in one unit."""
    if now() - at < timedelta(minutes=1):
        return "just now"
    return f"{timesince(at, depth=1)} ago"


def smaller(text: str) -> SafeString:
    """Return a text in small type."""
    return format_html('<span class="beside">{}</span>', text)


def beside(text: str, more: str) -> SafeString:
    """Return a text, followed by an addition in small type if there is one."""
    if not more:
        return format_html("{}", text)
    return format_html("{} {}", text, smaller(more))


@admin.display(description="name and id")
def called(row: Named) -> SafeString:
    """Return the display name and the ID, or only the ID; also a list column."""
    return beside(row.name, row.reference) if row.name else beside(row.reference, "")


def short(text: str, most: int = 100) -> str:
    return Truncator(text).chars(most)


def pretty(value: Any) -> SafeString:
    """Return a JSON value as indented text, or an empty text if the value is empty."""
    if value in (None, "", {}, []):
        return SafeString("")
    return _pre(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def body(raw: bytes | memoryview) -> SafeString:
    """Return a raw body as text for a page, indented if the body is JSON."""
    content = bytes(raw)
    if not content:
        return SafeString("(empty)")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        visible = content[: MAX_LENGTH + 1].decode("utf-8", "backslashreplace")
        return _pre(visible, "These bytes are not UTF-8.")
    try:
        return pretty(json.loads(text)) or _pre(text)
    except (ValueError, RecursionError):  # nested too deeply
        return _pre(text, "This is not JSON.")


def exchange(sent: str, came_back: str) -> SafeString:
    """Return one call to Optimove or the platform: the request and the response."""
    return format_html(
        '<dl class="exchange"><div><dt>Sent</dt><dd>{}</dd></div>'
        "<div><dt>Came back</dt><dd>{}</dd></div></dl>",
        sent,
        came_back,
    )


def words(response: str, otherwise: str) -> SafeString:
    """Return a stored response, indented if it is JSON and was not cut off."""
    if not response:
        return format_html("{}", otherwise)
    return pretty(_parsed(response)) or format_html("<pre>{}</pre>", response)


def quoted(text: str) -> SafeString:
    """Return a text; if it ends with a response in JSON, indent the response."""
    match = _JSON.search(text)
    response = pretty(_parsed(text[match.start() :])) if match else ""
    if not match or not response:
        return format_html("{}", text)
    return format_html("{} {}", text[: match.start()].strip(), response)


# The start of an object, of a list, or of a string that may contain one of them.
_JSON = re.compile(r'[{\["]')


def _parsed(text: str) -> Any:
    """Parse JSON, also JSON in a JSON string; None if the text is not JSON."""
    try:
        value = json.loads(text)
        return json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return None


def _pre(text: str, note: str = "") -> SafeString:
    if len(text) > MAX_LENGTH:
        note = f"{note} Only the first {MAX_LENGTH:,} characters are shown.".strip()
    # A lone surrogate cannot be encoded for a browser, and a NUL would be invisible.
    shown = text[:MAX_LENGTH].encode("utf-8", "backslashreplace").decode()
    return format_html(
        "{}<pre>{}</pre>",
        format_html('<p class="note">{}</p>', note) if note else "",
        shown.replace("\0", "\\x00"),
    )
