"""Options of commands that use a scenario: its file, number of customers and seed."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from promoportal.sandbox.scenarios import InvalidFile, Scenario, load, shipped


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options that modify a scenario. A command adds `scenario` itself."""
    parser.add_argument(
        "--customers",
        type=int,
        help="number of customers to generate (default: from the scenario)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        help="random seed for customers and draws (default: from the scenario)",
    )


def as_arguments(options: dict[str, Any]) -> list[str]:
    """Return the same options as arguments of `manage.py sandbox`."""
    names = ("scenario", "customers", "seed")
    return [f"--{name}={options[name]}" for name in names if options[name] is not None]


def known() -> str:
    """Return a help text that lists the shipped scenarios."""
    return f"path of a scenario file, or one of: {', '.join(shipped())}"


def chosen(name: str, options: dict[str, Any]) -> Scenario:
    """
    Return the scenario, modified by the options.

    :raises CommandError: with a sentence for each mistake in the scenario
    """
    customers = options["customers"]
    if customers is not None and customers < 1:
        raise CommandError("--customers must be at least 1.")
    try:
        return load(name, customers=customers, seed=options["seed"])
    except InvalidFile as mistakes:
        raise CommandError(str(mistakes)) from mistakes
