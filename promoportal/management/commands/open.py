"""`manage.py open`: start an execution whose webhook is missing, or fetch it again."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from executions import notices
from executions.lifecycle import open_execution
from executions.models import ExecutionStop
from promoportal.management.base_command import PortalCommand


class Command(PortalCommand):
    help = "Open an execution whose webhook was missed, or fetch its assignments again."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "occurrence", help="execution ID in Optimove (occurrenceId)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            occurrence = notices.occurrence_of(options["occurrence"])
        except notices.Unreadable as error:
            raise CommandError(str(error)) from error
        execution = open_execution(occurrence, why="Opened by hand.")
        if execution.stop == ExecutionStop.CANCELLED:
            raise CommandError(
                f"Execution {execution.reference} is cancelled. No more rewards will be "
                "activated."
            )
        self.say(
            options,
            f"Fetching assignments of {execution}. Run `manage.py reconcile "
            f"{execution.reference}` to see its progress.",
            execution=execution.pk,
            occurrence=execution.reference,
        )
