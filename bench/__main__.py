"""
`make bench` runs the benchmarks; `make bench ARGS="receiving"` runs only one.

`pages`, `retrying` and `exporting` run only if they are named, because it takes minutes
to create their rows.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from importlib import import_module

import django

_NAMES = (
    *("receiving", "reading", "collecting", "activating", "reporting", "allocating"),
    *("serving", "crediting", "pages", "retrying", "exporting"),
)
_SIZE = 2_000
# Benchmarks that need many rows to show a difference, and so run only if named.
_SIZES = {"pages": 1_000_000, "retrying": 250_000, "exporting": 1_000_000}


def main() -> None:
    """Run the benchmarks that the command line names, or all outside `_SIZES`."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "promoportal.settings")
    django.setup()
    logging.disable(logging.WARNING)
    from bench.stage import Measured, Stage

    options = _options()
    measured = {}
    with Stage() as stage:
        for name in options.names or [one for one in _NAMES if one not in _SIZES]:
            module = import_module(f"bench.{name}")
            size = options.size or _SIZES.get(name, _SIZE)
            found: Measured = module.measure(stage, size)
            measured[name] = found.as_json()
            print(found.as_text(name), file=sys.stderr)  # noqa: T201 - the output
    if options.json:
        print(json.dumps(measured))  # noqa: T201


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("names", nargs="*", choices=[*_NAMES, []], metavar="NAME")
    parser.add_argument("--size", type=int, help=f"how many of each, not {_SIZE:,}")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
