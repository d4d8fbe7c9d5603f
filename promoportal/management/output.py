"""What every command says: for people, or with `--json` one line for machines."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser


class PortalCommand(BaseCommand):
    """A command that speaks to people, and to machines on request."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--json", action="store_true", help="one line of JSON, the last on stdout"
        )

    def say(self, options: dict[str, Any], sentence: str, **facts: Any) -> None:
        """Say the sentence to a person, or the facts to a machine."""
        if options["json"]:
            self.stdout.write(json.dumps(facts, default=str))
        else:
            self.stdout.write(sentence)
