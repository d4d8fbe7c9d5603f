"""`manage.py runworkers`: run all worker clusters, supervised, or one of them."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error as DatabaseLost
from django.db import connection

from promoportal import jobs, pipeline
from promoportal.db import durability
from promoportal.jobs import cluster
from promoportal.operations import restored_backup
from promoportal.runtime import parent_death
from promoportal.runtime.supervisor import Program, Supervisor


class Command(BaseCommand):
    help = "Run the workers of all queues, or of one queue."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--queue",
            choices=jobs.QUEUES,
            help="run only this queue, without supervision",
        )
        parser.add_argument(
            "--patience",
            type=float,
            help="seconds without progress after which a worker cluster exits",
        )

    def handle(
        self, *args: Any, queue: str | None, patience: float | None, **options: Any
    ) -> None:
        if queue is None:
            parent_death.exit_with_parent()
            refuse_unsafe_database()
            detect_restore()
            self.stdout.write(
                f"Running workers for {', '.join(jobs.QUEUES)}. Press Ctrl-C to stop."
            )
            Supervisor(clusters(), say=self.stderr.write).run()
            return
        become(queue)
        sys.exit(cluster.run(pipeline.tick, patience=patience))


def clusters() -> list[Program]:
    """Return a program for each queue, which runs the queue's worker cluster."""
    manage = str(settings.BASE_DIR / "manage.py")
    return [
        Program(
            f"Workers of {queue}",
            [sys.executable, manage, "runworkers", "--queue", queue, "--skip-checks"],
            {"Q_CLUSTER_NAME": queue},
        )
        for queue in jobs.QUEUES
    ]


def refuse_unsafe_database() -> None:
    """
    Refuse a database that may lose committed data, if the database responds.

    :raises CommandError: with each setting that breaks a guarantee, and its fix
    """
    with suppress(DatabaseLost):
        found = [f"{each.problem} {each.hint}" for each in durability.weaknesses()]
        if found:
            raise CommandError("\n".join(found))


def detect_restore() -> None:
    """Detect a restored backup before anything is sent, if the database responds."""
    with suppress(DatabaseLost):
        restored_backup.detect_restore()
    connection.close()


def become(queue: str) -> None:
    """Restart this process for the queue, which django-q2 reads only during import."""
    if os.environ.get("Q_CLUSTER_NAME", "portal") != queue:
        environment = os.environ | {"Q_CLUSTER_NAME": queue}
        command = [sys.executable, *sys.orig_argv[1:]]
        os.execve(sys.executable, command, environment)  # noqa: S606
