"""Small pictures of numbers: drawn here, so that a page needs no script to show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

_WIDE, _HIGH = 1000, 40


@dataclass(frozen=True)
class Part:
    """Some of a whole; its tone is that of a state, see `showing.badge`."""

    name: str
    count: int
    tone: str


def stacked_bar(parts: Sequence[Part]) -> SafeString:
    """A bar, divided as the whole is."""
    total = sum(part.count for part in parts) or 1
    drawn, at = [], 0.0
    for part in parts:
        width = _WIDE * part.count / total
        drawn.append((f"fill-{part.tone}", f"{at:.1f}", f"{width:.1f}"))
        at += width
    said = ", ".join(f"{part.count:,} {part.name}" for part in parts if part.count)
    return format_html(
        '<svg class="shares" viewBox="0 0 {} 10" preserveAspectRatio="none" role="img"'
        ' aria-label="{}">{}</svg>',
        _WIDE,
        said or "nothing yet",
        format_html_join(
            "", '<rect class="{}" x="{}" width="{}" height="10"></rect>', drawn
        ),
    )


def columns(now: Sequence[int], before: Sequence[int], said: str) -> SafeString:
    """One column for each hour, before those of another day in the background."""
    highest = max([*now, *before, 1])
    step = _WIDE / max(len(now), len(before), 1)
    drawn = [
        (kind, f"{step * at + inset:.1f}", f"{_HIGH - high:.1f}", f"{wide:.1f}", high)
        for kind, counts, inset, wide in (
            ("then", before, 0.0, step * 0.9),
            ("now", now, step * 0.2, step * 0.5),
        )
        for at, count in enumerate(counts)
        if (high := round(_HIGH * count / highest, 1))
    ]
    return format_html(
        '<svg class="columns" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img"'
        ' aria-label="{}">{}</svg>',
        _WIDE,
        _HIGH,
        said,
        format_html_join(
            "",
            '<rect class="{}" x="{}" y="{}" width="{}" height="{}"></rect>',
            drawn,
        ),
    )
