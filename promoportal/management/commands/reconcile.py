"""`manage.py reconcile`: compare Optimove's list, the activations and the reports."""

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

# Seconds to wait until the run that --live requests is complete.
PATIENCE = 3600
# Seconds between two checks of that run.
PAUSE = 0.1


class Command(PortalCommand):
    help = (
        "Compare an execution's assignments in Optimove, the portal and the reports, "
        "and count mismatches."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "occurrence", help="execution ID in Optimove (occurrenceId)"
        )
        parser.add_argument(
            "--live",
            action="store_true",
            help="fetch the full list from Optimove first",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        execution = Execution.objects.filter(reference=options["occurrence"]).first()
        if execution is None:
            raise CommandError(
                f"Execution {options['occurrence']!r} not found. To open an execution "
                "whose webhook was missed, run `manage.py open` with its ID."
            )
        if options["live"]:
            _collect_now(execution)
        found = reconcile(execution)
        self.say(options, _as_text(found), **found.as_json())


def _collect_now(execution: Execution) -> None:
    """Request one more run, and complete it even if no workers run."""
    _request(execution, why="Asked for by reconcile --live.")
    until = time.monotonic() + PATIENCE
    with Promotions.from_settings() as client:
        while time.monotonic() < until:
            collection = Collection.objects.get(execution=execution)
            if collection.state in {CollectionState.DONE, CollectionState.HELD}:
                return
            with suppress(Throttled):
                collect_from(execution, client, Priority.PERSON)
            # A worker may have claimed the run, or the run may have to wait.
            time.sleep(PAUSE)
    raise CommandError(
        f"Assignments of {execution} could not be fetched within {PATIENCE} seconds. "
        "Try again later."
    )


def _request(execution: Execution, *, why: str) -> None:
    """Request a run, even if the execution is cancelled: it then activates nothing."""
    with transaction.atomic():
        locks.lock_exclusive(execution.pk)
        # New rows of a `SETTLED` execution would not be processed.
        lifecycle.mark_collecting(execution, why=why)
        fetch_runs.request_run(execution, why=why)


def _as_text(found: Reconciled) -> str:
    facts = found.as_json()
    occurrence, drift = facts.pop("occurrence"), facts.pop("drift")
    lines = [f"  {name:<13}{count:>10,}" for name, count in facts.items()]
    verdict = f"{drift:,} mismatch{'es' * (drift != 1)}." if drift else "No mismatches."
    return "\n".join([f"execution {occurrence}", *lines, verdict])
