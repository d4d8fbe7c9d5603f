"""`manage.py chaos`: run the fault test of `bench/chaos`, if `bench` is installed."""

from __future__ import annotations

import runpy
import sys
from importlib.util import find_spec

from django.core.management.base import BaseCommand


class Unavailable(BaseCommand):
    """The command in an installation without `bench`."""

    def run_from_argv(self, argv: list[str]) -> None:
        """Exit with status 1, whatever the arguments are."""
        sys.exit("chaos is not available: this installation does not contain bench/.")


Command = (
    runpy.run_module("bench.chaos")["Command"] if find_spec("bench") else Unavailable
)
