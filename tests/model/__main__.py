"""`python -m tests.model` explores the state model within the bounds that you choose."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterable
from typing import Any

import django


def main() -> int:
    """Explore each capability; return 1 if a run breaks a guarantee, otherwise 0."""
    # The model reads tables of the engine, whose modules contain Django models.
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "promoportal.settings")
    django.setup()
    from tests.model import state  # noqa: PLC0415 - needs Django

    options = vars(_parser(state.CAPABILITIES, state.Bounds()).parse_args())
    chosen = options.pop("capability") or [*state.CAPABILITIES]
    bounds = state.Bounds(**options)
    _say(f"{bounds}")
    return max(_explore(name, bounds) for name in chosen)


def _parser(capabilities: Iterable[str], bounds: object) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    for name, value in vars(bounds).items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--capability", choices=capabilities, action="append")
    return parser


def _explore(name: str, bounds: Any) -> int:
    from tests.model import search, state  # noqa: PLC0415 - needs Django

    start = time.monotonic()
    setting = state.Setting(*state.CAPABILITIES[name], bounds=bounds)
    found = search.explore(setting)
    seconds = time.monotonic() - start
    sizes = f"{len(found.states):,} states, {found.transitions:,} transitions"
    _say(f"{name}: {sizes}, {seconds:.1f} s")
    if found.violation:
        _say(f"{found.violation}")
    return int(found.violation is not None)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
