"""
A demo on this machine: the sandbox, the portal, and the rewards of campaigns.

The web server, the queue, PostgreSQL and HTTP are real, as in production. The sandbox
simulates Optimove and the platform.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError
from django.db import connection

from executions import listeners
from executions.models import Campaign, Execution, Listener
from promoportal import wire
from promoportal.db.display_names import MAX_LENGTH, Named, composed
from promoportal.operations.reconciliation import Reconciled, reconcile, total
from promoportal.runtime.ports import Ports
from promoportal.runtime.supervisor import Program, Supervisor
from rewards.models import Collection, CollectionState, Promotion

# Seconds within which the portal and the sandbox must have started.
_PATIENCE = 120.0
_MANAGE = [sys.executable, str(settings.BASE_DIR / "manage.py")]


class Demo:
    """One demo of a scenario, from the start of its processes to their end."""

    def __init__(
        self, ports: Ports, scenario: Sequence[str], say: Callable[[str], Any]
    ) -> None:
        """:param scenario: the arguments for `manage.py sandbox`"""
        self.ports = ports
        self.mails = settings.PORTAL_HOME / "demo-mails"
        self._scenario = scenario
        self._say = say
        self._supervisor = Supervisor(self._programs(), say=say)
        self.occurrences: list[str] = []
        self.sent = 0  # e-mails
        self._listeners: list[int] = []
        self._assigned = 0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run the sandbox and the portal while the `with` block runs."""
        with self._supervisor.listening():
            self._supervisor.start()
            try:
                self._wait_for(f"{self.ports.sandbox_url}/control/")
                self._wait_for(f"{self.ports.portal_url}/healthz")
                yield
            finally:
                self._supervisor.stop()
                self._close_listeners()

    def register(self) -> None:
        """Register listeners with the sandbox, by `manage.py listeners register`."""
        done = subprocess.run(  # noqa: S603
            [*_MANAGE, "listeners", "register", "--json"],
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise CommandError(done.stderr.strip())
        rows = json.loads(done.stdout)["listeners"]
        self._listeners = [listener["id"] for listener in rows]

    def name(self) -> None:
        """Give unnamed campaigns and promotions their names in the scenario."""
        set_up = self.vendor()
        for row in set_up["campaigns"]:
            _name(Campaign, row["plan"], row["name"])
        for row in set_up["promotions"]:
            _name(Promotion, row["id"], row["name"], code=row["code"])

    def run_campaigns(self) -> None:
        """Execute the scheduled campaigns, and send the events that trigger others."""
        set_up = self.vendor()
        for campaign in set_up["campaigns"]:
            if not campaign["event"]:
                self._record(
                    self._control("POST", "campaign", {"plan": campaign["plan"]})
                )
        for event in set_up["scenario"]["events"]:
            happened = self._control("POST", "event", {"name": event})
            for execution in happened["executions"]:
                self._record(execution)

    def figures(self) -> Reconciled:
        """Return the current numbers of all executions of the demo."""
        executions = Execution.objects.filter(reference__in=self.occurrences)
        return total([reconcile(execution) for execution in executions])

    def is_reported(self, figures: Reconciled) -> bool:
        """Return whether all rewards of the demo are activated and reported."""
        return figures.eligible == self._assigned and figures.is_settled

    def is_settled(self, figures: Reconciled) -> bool:
        """Return whether all rewards are reported, and no further run is due."""
        collecting = Collection.objects.filter(
            execution__reference__in=self.occurrences,
            state__in=[CollectionState.WAITING, CollectionState.COLLECTING],
        )
        return self.is_reported(figures) and not collecting.exists()

    def vendor(self) -> dict[str, Any]:
        """Return the sandbox's campaigns, and its promotions with their limits."""
        return self._control("GET", "")

    def ledger(self) -> dict[str, Any]:
        """Return the sandbox's records of what it sent and received."""
        return self._control("GET", "ledger")

    def poll(self, seconds: float) -> bool:
        """Wait for up to `seconds`. Return False if the demo is asked to stop."""
        self._supervisor.poll(seconds)
        return not self._supervisor.is_asked_to_stop

    def _programs(self) -> list[Program]:
        # The default pauses of one and five minutes are too long for a demo.
        pauses = {"LIST_AGAIN_AFTER_SECONDS": "3", "REDEMPTION_INTERVAL_SECONDS": "2"}
        environment = {
            "OPTIMOVE_API_URL": f"{self.ports.sandbox_url}/optimove",
            "OPTIMOVE_PROMOTIONS_URL": f"{self.ports.sandbox_url}/promotions",
            "PLATFORM_URL": f"{self.ports.sandbox_url}/platform",
            "PORTAL_URL": self.ports.portal_url,
            **{name: os.environ.get(name, short) for name, short in pauses.items()},
        }
        self._environment = os.environ | environment
        log = settings.PORTAL_HOME / "demo.log"
        return [
            Program(
                "Sandbox",
                [
                    *_MANAGE,
                    *("sandbox", "--port", str(self.ports.sandbox)),
                    *("--with-parent", str(os.getpid())),
                    *("--mails", str(self.mails), *self._scenario),
                ],
                environment,
                log=log,
            ),
            Program(
                "Portal",
                [*_MANAGE, "run", "--port", str(self.ports.portal)],
                environment,
                log=log,
            ),
        ]

    def _wait_for(self, url: str) -> None:
        until = time.monotonic() + _PATIENCE
        with wire.Client(url, side="demo", secrets={}, seconds=2) as client:
            while time.monotonic() < until and self.poll(0.2):
                try:
                    client.ask("GET", "")
                except wire.WireError:
                    continue
                return
        log = settings.PORTAL_HOME / "demo.log"
        msg = f"{url} did not start within {_PATIENCE:.0f} seconds. See the log: {log}"
        raise CommandError(msg)

    def _close_listeners(self) -> None:
        """Close the demo's listeners, because their sandbox has stopped."""
        connection.close()  # the database may have closed this connection
        for listener in Listener.objects.filter(pk__in=self._listeners):
            listeners.close(listener)

    def _record(self, execution: dict[str, Any]) -> None:
        """Record an execution, its number of assigned rewards, and its emails."""
        if execution["problem"]:
            raise CommandError(f"The simulated Optimove failed: {execution['problem']}")
        self.occurrences.append(str(execution["occurrence"]))
        self._assigned += int(execution["statuses"].get("Assigned", 0))
        self.sent += int(execution["mails"]["sent"])

    def _control(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        address = f"{self.ports.sandbox_url}/control"
        with wire.Client(address, side="sandbox", secrets={}, seconds=600) as client:
            answer = client.ask(method, f"/{path}", body=body)
        if not isinstance(answer.body, dict):
            raise CommandError("The sandbox did not respond.")
        return dict(answer.body)


def _name(model: type[Named], reference: str, name: str, **known: str) -> None:
    rows = model._base_manager
    rows.get_or_create(reference=reference, defaults=known)
    rows.filter(reference=reference, name="").update(name=composed(name)[:MAX_LENGTH])
