"""`manage.py rehearse`: calculate a scenario without sending anything."""

from __future__ import annotations

from argparse import ArgumentTypeError
from datetime import UTC, date, datetime
from typing import Any

from django.core.management.base import CommandParser

from promoportal.management import scenario_options
from promoportal.management.base_command import PortalCommand
from promoportal.sandbox.scenarios import as_json, as_text, rehearse


class Command(PortalCommand):
    help = (
        "Calculate a scenario without sending anything: recipients, rewards, limits "
        "and a sample email."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("scenario", help=scenario_options.known())
        scenario_options.add_arguments(parser)
        parser.add_argument(
            "--day",
            type=_day,
            help="date to calculate for, YYYY-MM-DD (default: today)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        chosen = scenario_options.chosen(options["scenario"], options)
        day = options["day"] or datetime.now(UTC).date()
        rehearsed = rehearse(chosen, day=day)
        self.say(options, as_text(rehearsed), **as_json(rehearsed))


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        msg = f"Invalid date {text!r}. Use YYYY-MM-DD, for example 2026-01-15."
        raise ArgumentTypeError(msg) from error
