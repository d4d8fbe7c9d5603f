"""
The parts of docs/architecture.md that are drawn from the code.

Run `.venv/bin/python -m tests.project.drawing` to draw them again.
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from tests.project import tree

PAGE = "docs/architecture.md"
_PLACE = re.compile(r"(<!-- drawn: (.+?) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def in_page(page: str) -> dict[str, str]:
    """Return the drawn parts of a page, by name."""
    return {match[2]: match[3] for match in _PLACE.finditer(page)}


def in_code() -> dict[str, str]:
    """Return the same parts as the code defines them now."""
    return {name: f"{text}\n" for name, text in [*_machines(), *_tables()]}


def redraw() -> None:
    """Write all parts to the page."""
    drawn = in_code()
    page = _PLACE.sub(
        lambda place: f"{place[1]}{drawn[place[2]]}{place[4]}", tree.say(PAGE)
    )
    (tree.ROOT / PAGE).write_text(page)


# Late imports, here and below: as a program, this module sets up Django first.
def _machines() -> Iterator[tuple[str, str]]:
    apps = importlib.import_module("django.apps").apps
    stateful = importlib.import_module("promoportal.db.state_machine").Stateful
    for model in apps.get_models():
        if issubclass(model, stateful):
            for column, machine in model.machines.items():
                field = model._meta.get_field(column)
                yield f"{model.__name__}.{column}", _machine(field, machine)


def _machine(field: Any, machine: Mapping[str, Iterable[str]]) -> str:
    """Return a Mermaid state diagram, always in the same order."""
    order = [str(state) for state in machine]
    labels = dict(field.choices)
    lines = [f'    state "{labels[state]}" as {state}' for state in order]
    if field.has_default():
        lines.append(f"    [*] --> {field.default}")
    for state, targets in machine.items():
        reached = sorted(map(str, targets), key=order.index)
        lines += [f"    {state} --> {to}" for to in reached or ["[*]"]]
    return "\n".join(["```mermaid", "stateDiagram-v2", *lines, "```"])


def _tables() -> Iterator[tuple[str, str]]:
    pipeline = importlib.import_module("promoportal.pipeline")
    yield (
        "FOLLOWS",
        _table(
            ["When", "then, in the same transaction", "which does this"],
            [
                [_signal(row.signal), _name(row.service), _sentence(row.service)]
                for row in pipeline.FOLLOWS
            ],
        ),
    )
    yield (
        "WAKES",
        _table(
            ["When", "a job is queued", "on"],
            [
                [_signal(row.signal), _name(row.task), f"`{row.queue}`"]
                for row in (*pipeline.WAKES_ABOUT, *pipeline.WAKES)
            ],
        ),
    )
    yield (
        "SWEEPS",
        _table(
            ["On each run", "which does this"],
            [[_name(sweep), _sentence(sweep)] for sweep in pipeline.SWEEPS],
        ),
    )
    yield (
        "DUE",
        _table(
            ["On each run, if", "a job is queued", "on"],
            [
                [_name(row.is_due), _name(row.task), f"`{row.queue}`"]
                for row in pipeline.DUE
            ],
        ),
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _signal(signal: Any) -> str:
    for app in ("executions", "rewards", "redemptions"):
        for name, value in vars(importlib.import_module(f"{app}.signals")).items():
            if value is signal:
                return f"`{app}.{name}`"
    raise LookupError(signal)


def _name(function: Callable[..., Any]) -> str:
    return f"`{function.__module__}.{function.__qualname__}`"


def _sentence(function: Callable[..., Any]) -> str:
    """Return the first sentence of a function's docstring."""
    text = " ".join((inspect.getdoc(function) or "").split("\n\n")[0].split())
    return text.split(". ")[0].rstrip(".") + "."


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "promoportal.settings")
    importlib.import_module("django").setup()
    redraw()
