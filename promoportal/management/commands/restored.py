"""`manage.py restored`: declare that the database is a restored backup."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser

from promoportal.management.base_command import PortalCommand
from promoportal.operations import restored_backup


class Command(PortalCommand):
    help = (
        "Doubt what may have been sent since a backup was taken that is restored now. "
        "Only for copies of the server's files: a restored dump, a recovery to a point "
        "in time and a failover are noticed without it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "taken", help="when the backup was taken: 2026-03-29T02:00 (UTC)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            since = datetime.fromisoformat(options["taken"])
            gap = restored_backup.restored(
                since if since.tzinfo else since.replace(tzinfo=UTC)
            )
        except ValueError as error:
            raise CommandError(str(error)) from error
        self.say(
            options,
            f"What may have been sent since {gap.since:%Y-%m-%d %H:%M %Z} is in doubt "
            "now, and is settled before anything of it is sent.",
            since=gap.since.isoformat(),
        )
