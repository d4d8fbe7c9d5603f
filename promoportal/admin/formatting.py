"""How values look on a page. Whatever came from outside is escaped here, once."""

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

# More of a body than this helps nobody, and makes a page that nobody can open.
MAX_LENGTH = 64 * 1024

# What a state means to whoever looks, told by a mark and a word before any colour.
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
    """A state as a mark, a word and a colour."""
    tone, mark = _LOOKS.get(state, ("over", "·"))
    return stamp(tone, mark, label)


@admin.display(description="state")
def state_badge(row: Any) -> SafeString:
    """Return the badge of a row that has a state; a list column, too."""
    return badge(row.state, str(row.get_state_display()))


def stamp(tone: str, mark: str, label: str) -> SafeString:
    return format_html(
        '<span class="state state-{}"><span aria-hidden="true">{}</span> {}</span>',
        tone,
        mark,
        label,
    )


def moment(at: datetime | None) -> SafeString:
    """When, to the second."""
    if at is None:
        return SafeString("")
    local = localtime(at)
    return format_html(
        '<time datetime="{}">{}</time>', local.isoformat(), f"{local:%Y-%m-%d %H:%M:%S}"
    )


def since(at: datetime | None) -> SafeString:
    """When, and how long ago that is."""
    if at is None:
        return SafeString("")
    return format_html('{} <span class="ago">{}</span>', moment(at), ago(at))


def ago(at: datetime) -> str:
    """How long ago, in the largest unit of it."""
    if now() - at < timedelta(minutes=1):
        return "just now"
    return f"{timesince(at, depth=1)} ago"


def smaller(text: str) -> SafeString:
    """What tells more of something, to stand beside it."""
    return format_html('<span class="beside">{}</span>', text)


def beside(text: str, more: str) -> SafeString:
    """A text, and smaller beside it what tells more of it, if anything does."""
    if not more:
        return format_html("{}", text)
    return format_html("{} {}", text, smaller(more))


@admin.display(description="name and id")
def called(row: Named) -> SafeString:
    """Return the display name with the id beside it, or the id alone; a list column, too."""
    return beside(row.name, row.reference) if row.name else beside(row.reference, "")


def short(text: str, most: int = 100) -> str:
    return Truncator(text).chars(most)


def pretty(value: Any) -> SafeString:
    """A value that came as JSON, laid out to be read."""
    if value in (None, "", {}, []):
        return SafeString("")
    return _pre(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def body(raw: bytes | memoryview) -> SafeString:
    """A body as it came: laid out if it is JSON, as it is if not, whatever is in it."""
    content = bytes(raw)
    if not content:
        return SafeString("(empty)")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return _pre(_visible(content), "These bytes are not UTF-8.")
    try:
        return pretty(json.loads(text)) or _pre(text)
    except (ValueError, RecursionError):  # nested too deeply is not for reading either
        return _pre(text, "This is not JSON.")


def exchange(sent: str, came_back: str) -> SafeString:
    """One call to a far side: what was sent, and what came back."""
    return format_html(
        '<dl class="exchange"><div><dt>Sent</dt><dd>{}</dd></div>'
        "<div><dt>Came back</dt><dd>{}</dd></div></dl>",
        sent,
        came_back,
    )


def words(said: str, otherwise: str) -> SafeString:
    """What a far side answered, cut as it was kept; laid out if it is whole JSON."""
    if not said:
        return format_html("{}", otherwise)
    return pretty(_laid_open(said)) or format_html("<pre>{}</pre>", said)


def quoted(said: str) -> SafeString:
    """Words of ours that may end with what a far side answered, which is laid out."""
    begun = _JSON.search(said)
    answered = pretty(_laid_open(said[begun.start() :])) if begun else ""
    if not begun or not answered:
        return format_html("{}", said)
    return format_html("{} {}", said[: begun.start()].strip(), answered)


# An object, a list, or a string that may hold one of these.
_JSON = re.compile(r'[{\["]')


def _laid_open(text: str) -> Any:
    """What stands there as JSON, also as JSON in a string of JSON; or nothing."""
    try:
        value = json.loads(text)
        return json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return None


def _visible(content: bytes) -> str:
    return content[: MAX_LENGTH + 1].decode("utf-8", "backslashreplace")


def _pre(text: str, note: str = "") -> SafeString:
    if len(text) > MAX_LENGTH:
        note = f"{note} Only the first {MAX_LENGTH:,} characters are shown.".strip()
    # A lone surrogate cannot be sent to a browser, and a NUL would not be seen there.
    shown = text[:MAX_LENGTH].encode("utf-8", "backslashreplace").decode()
    return format_html(
        "{}<pre>{}</pre>",
        format_html('<p class="note">{}</p>', note) if note else "",
        shown.replace("\0", "\\x00"),
    )
