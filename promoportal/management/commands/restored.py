"""`manage.py restored`: declare that the database is a restored backup."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.core.management.base import CommandError, CommandParser

from promoportal.management.base_command import PortalCommand
from promoportal.operations import restored_backup


class Command(PortalCommand):
    help = (
        "After restoring a file-level copy of the database, mark everything that may "
        "have been sent after the backup as possibly activated. Not needed after "
        "pg_restore, point-in-time recovery or failover: the portal detects these."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "taken", help="time of the backup, such as 2026-03-29T02:00 (UTC)"
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
            f"Rewards that may have been sent after {gap.since:%Y-%m-%d %H:%M %Z} are "
            "marked as possibly activated. The portal checks each one before it sends "
            "anything.",
            since=gap.since.isoformat(),
        )
