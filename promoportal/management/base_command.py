"""The base class of commands that print text, or one line of JSON with `--json`."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError, ProgrammingError

from promoportal.db.database_errors import database_error_message, is_not_migrated

JSON_HELP = "print one line of JSON as the last line of stdout"


class PortalCommand(BaseCommand):
    """A command with text output, and JSON output on request."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help=JSON_HELP)

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run the command. If the database cannot be used, raise CommandError."""
        try:
            return super().execute(*args, **options)
        except OperationalError as error:
            raise CommandError(database_error_message(error)) from error
        except ProgrammingError as error:
            if not is_not_migrated(error):
                raise
            raise CommandError(
                "The database schema is out of date. Run `manage.py migrate`, then try "
                "again."
            ) from error

    def say(self, options: dict[str, Any], sentence: str, **facts: Any) -> None:
        """Print the sentence. With `--json`, print the facts as JSON instead."""
        if options["json"]:
            self.stdout.write(json.dumps(facts, default=str))
        else:
            self.stdout.write(sentence)
