"""
`make bench`: all benchmarks, or those named: `make bench ARGS="receiving"`.

`pages`, `retrying` and `exporting` run only if they are named, because it takes minutes
to create their rows.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable

import django

_SIZE = 2_000
# Benchmarks that show nothing at a small size, and take too long to run every time.
_SIZES = {"pages": 1_000_000, "retrying": 250_000, "exporting": 1_000_000}


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "promoportal.settings")
    django.setup()
    logging.disable(logging.WARNING)
    from bench import (
        activating,
        allocating,
        collecting,
        crediting,
        exporting,
        pages,
        reading,
        receiving,
        reporting,
        retrying,
        serving,
    )
    from bench.stage import Measured, Stage

    benches: dict[str, Callable[[Stage, int], Measured]] = {
        "receiving": receiving.measure,
        "reading": reading.measure,
        "collecting": collecting.measure,
        "activating": activating.measure,
        "reporting": reporting.measure,
        "allocating": allocating.measure,
        "serving": serving.measure,
        "crediting": crediting.measure,
        "pages": pages.measure,
        "retrying": retrying.measure,
        "exporting": exporting.measure,
    }
    options = _options(list(benches))
    measured = {}
    with Stage() as stage:
        for name in options.names or [one for one in benches if one not in _SIZES]:
            found = benches[name](stage, options.size or _SIZES.get(name, _SIZE))
            measured[name] = found.as_json()
            print(found.as_text(name), file=sys.stderr)  # noqa: T201 - the output
    if options.json:
        print(json.dumps(measured))  # noqa: T201


def _options(names: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("names", nargs="*", choices=[*names, []], metavar="NAME")
    parser.add_argument("--size", type=int, help=f"how many of each, not {_SIZE:,}")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
