"""Compare what the vendor lists, what is active and what is reported."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import transaction

from executions import lifecycle, locks
from executions.models import Execution
from promoportal.management.base_command import PortalCommand
from promoportal.operations.reconciliation import Reconciled, reconcile
from promoportal.optimove import Promotions
from promoportal.optimove.rate_limiter import Priority
from promoportal.optimove.throttle import Throttled
from rewards.collection import fetch_runs
from rewards.collection.collect import collect_from
from rewards.models import Collection, CollectionState

# How long to wait for a whole pass that was asked for with --live, in seconds.
PATIENCE = 3600
# Between two looks at it, in seconds.
PAUSE = 0.1


class Command(PortalCommand):
    help = "Count an execution's assignments in three ledgers, and where they disagree."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("occurrence", help="the vendor's id of the execution")
        parser.add_argument(
            "--live",
            action="store_true",
            help="ask the vendor for the whole list first",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        execution = Execution.objects.filter(reference=options["occurrence"]).first()
        if execution is None:
            raise CommandError(
                f"There is no execution {options['occurrence']!r} here; "
                "`open` starts one whose notice never came."
            )
        if options["live"]:
            _collect_now(execution)
        found = reconcile(execution)
        self.say(options, _told(found), **found.as_json())


def _collect_now(execution: Execution) -> None:
    """Ask for one more pass and see it through, with workers or without."""
    _ask(execution, why="Asked for by reconcile --live.")
    until = time.monotonic() + PATIENCE
    with Promotions.from_settings() as client:
        while time.monotonic() < until:
            collection = Collection.objects.get(execution=execution)
            if collection.state in {CollectionState.DONE, CollectionState.HELD}:
                return
            with suppress(Throttled):
                collect_from(execution, client, Priority.PERSON)
            # A worker may hold it, or it may have to wait.
            time.sleep(PAUSE)
    msg = f"{execution} could not be collected within {PATIENCE} s; try again later."
    raise CommandError(msg)


def _ask(execution: Execution, *, why: str) -> None:
    """Of a cancelled one too: what is listed is asked for, and nothing is given."""
    with transaction.atomic():
        locks.lock_exclusive(execution.pk)
        # What it brings is worked on as ever: of a settled execution nothing would be.
        lifecycle.mark_collecting(execution, why=why)
        fetch_runs.request_run(execution, why=why)


def _told(found: Reconciled) -> str:
    facts = found.as_json()
    occurrence, drift = facts.pop("occurrence"), facts.pop("drift")
    lines = [f"  {name:<13}{count:>10,}" for name, count in facts.items()]
    verdict = "The ledgers agree." if not drift else f"{drift:,} rows disagree."
    return "\n".join([f"execution {occurrence}", *lines, verdict])
