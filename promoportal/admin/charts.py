"""Small charts as SVG, drawn on the server, so that pages need no script for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

_WIDE, _HIGH = 1000, 40


@dataclass(frozen=True)
class Part:
    """One part of a total; `tone` is the tone of a state, see `formatting.badge`."""

    name: str
    count: int
    tone: str


def stacked_bar(parts: Sequence[Part]) -> SafeString:
    """Return a bar that is divided in proportion to the counts."""
    total = sum(part.count for part in parts) or 1
    rects, x = [], 0.0
    for part in parts:
        width = _WIDE * part.count / total
        rects.append((f"fill-{part.tone}", f"{x:.1f}", f"{width:.1f}"))
        x += width
    label = ", ".join(f"{part.count:,} {part.name}" for part in parts if part.count)
    return format_html(
        '<svg class="shares" viewBox="0 0 {} 10" preserveAspectRatio="none" role="img"'
        ' aria-label="{}">{}</svg>',
        _WIDE,
        label or "nothing yet",
        format_html_join(
            "", '<rect class="{}" x="{}" width="{}" height="10"></rect>', rects
        ),
    )


def columns(now: Sequence[int], before: Sequence[int], label: str) -> SafeString:
    """Return a chart with a column per hour, in front of an earlier day's columns."""
    highest = max([*now, *before, 1])
    step = _WIDE / max(len(now), len(before), 1)
    rects = [
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
        label,
        format_html_join(
            "",
            '<rect class="{}" x="{}" y="{}" width="{}" height="{}"></rect>',
            rects,
        ),
    )
