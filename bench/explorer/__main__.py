"""`python -m bench.explorer`: run the schedule explorer."""

from __future__ import annotations

import os
import sys

import django


def main() -> None:
    """Run the command. `manage.py` lacks it: production does not install `bench`."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "promoportal.settings")
    django.setup()
    from bench.explorer.command import Command

    Command().run_from_argv(["python -m", "bench.explorer", *sys.argv[1:]])


if __name__ == "__main__":
    main()
