"""`make bench`: every measurement, or those named: `make bench ARGS="receiving"`."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable

import django


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "promoportal.settings")
    django.setup()
    logging.disable(logging.WARNING)
    from bench import (
        activating,
        allocating,
        collecting,
        crediting,
        reading,
        receiving,
        reporting,
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
    }
    options = _options(list(benches))
    measured = {}
    with Stage() as stage:
        for name in options.names or benches:
            found = benches[name](stage, options.size)
            measured[name] = found.as_json()
            print(found.told(name), file=sys.stderr)  # noqa: T201 - it is what it says
    if options.json:
        print(json.dumps(measured))  # noqa: T201


def _options(names: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("names", nargs="*", choices=[*names, []], metavar="NAME")
    parser.add_argument("--size", type=int, default=2000, help="how many of each")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
