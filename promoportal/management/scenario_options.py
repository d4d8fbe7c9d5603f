"""Which scenario a command is about: its file, how many customers, and their seed."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from promoportal.sandbox.scenarios import InvalidFile, Scenario, load, shipped


def add_arguments(parser: ArgumentParser) -> None:
    """What narrows a scenario; which one it is, each command asks for its own way."""
    parser.add_argument(
        "--customers", type=int, help="generate so many, whatever the scenario says"
    )
    parser.add_argument(
        "--seed", type=int, help="other customers and other lots than the scenario's"
    )


def as_arguments(options: dict[str, Any]) -> list[str]:
    """What tells `manage.py sandbox` the same."""
    given = {name: options[name] for name in ("scenario", "customers", "seed")}
    return [
        word
        for name, value in given.items()
        if value is not None
        for word in (f"--{name}", str(value))
    ]


def known() -> str:
    """The scenarios there are, for a help text."""
    return f"a file, or one of {', '.join(shipped())}"


def chosen(name: str, options: dict[str, Any]) -> Scenario:
    """
    Load it as the options say.

    :raises CommandError: with a sentence for everything that is wrong with it
    """
    customers = options["customers"]
    if customers is not None and customers < 1:
        raise CommandError("--customers must be at least 1.")
    try:
        return load(name, customers=customers, seed=options["seed"])
    except InvalidFile as mistakes:
        raise CommandError(str(mistakes)) from mistakes
