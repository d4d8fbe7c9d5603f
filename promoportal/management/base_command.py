"""What every command says: for people, or with `--json` one line for machines."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError, ProgrammingError

from promoportal.db.database_errors import database_error_message, is_not_migrated


class PortalCommand(BaseCommand):
    """A command that speaks to people, and to machines on request."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--json", action="store_true", help="one line of JSON, the last on stdout"
        )

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run the command; say what is wrong with the database in a sentence."""
        try:
            return super().execute(*args, **options)
        except OperationalError as error:
            raise CommandError(database_error_message(error)) from error
        except ProgrammingError as error:
            if not is_not_migrated(error):
                raise
            msg = "The database is not up to date; run `manage.py migrate` first."
            raise CommandError(msg) from error

    def say(self, options: dict[str, Any], sentence: str, **facts: Any) -> None:
        """Say the sentence to a person, or the facts to a machine."""
        if options["json"]:
            self.stdout.write(json.dumps(facts, default=str))
        else:
            self.stdout.write(sentence)
