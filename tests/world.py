"""The portal, the sandbox, and workers that run on request."""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any

from django.db.models.functions import Now
from django.test import Client
from django_q.models import OrmQ

from executions import listeners
from executions.lifecycle import open_execution
from executions.models import Delivery, EventType, Execution, Listener, Trigger
from promoportal import pipeline, sandbox
from promoportal.db.database_clock import seconds_from_now
from promoportal.operations.reconciliation import Reconciled, reconcile
from promoportal.optimove.rate_limiter import Allowance
from promoportal.resilience.circuit_breaker import Breaker
from redemptions.models import Redemption
from rewards.activation import activate
from rewards.collection import collect
from rewards.models import Assignment, Collection


class World:
    """The portal with the sandbox; jobs run from the real queue, in this process."""

    def __init__(self, box: sandbox.SandboxHandle) -> None:
        self.box = box
        self.client = Client()
        self._paths: dict[int, str] = {}

    # --- Optimove's actions ------------------------------------------------------------

    def path(self, event_type: int = EventType.SCHEDULED) -> str:
        """Return the path of the listener for these events; open it if necessary."""
        if event_type not in self._paths:
            self._paths[event_type] = listeners.open_listener(event_type).path
        return self._paths[event_type]

    def post(self, body: bytes, event_type: int = EventType.SCHEDULED) -> Delivery:
        """Deliver this body. Return the stored delivery."""
        answer = self.client.post(
            self.path(event_type), body, content_type="application/json"
        )
        assert answer.status_code == 200, answer.content
        return Delivery.objects.get(pk=answer.json()["delivery"])

    def notify(self, event_type: int = EventType.SCHEDULED, **said: Any) -> Delivery:
        """Deliver a notification with these fields. Return the stored delivery."""
        return self.post(json.dumps(said).encode(), event_type)

    def announce(self, occurrence: str) -> Execution:
        """Deliver a scheduled execution's notification; work until nothing is due."""
        self.notify(CampaignID=int(occurrence), ChannelID=505)
        self.work()
        return Execution.objects.get(reference=occurrence)

    def collect(self, occurrence: str) -> Execution:
        """Fetch an execution's list, without activating anything."""
        execution = open_execution(occurrence)
        while collect.due_executions().exists():
            collect.collect()
        OrmQ.objects.all().delete()
        return execution

    def open(self, occurrence: str) -> Execution:
        """Open an execution, and leave the fetching to the workers."""
        return open_execution(occurrence)

    def run_activation(self) -> None:
        """Run the activation of what is due once."""
        activate.activate()
        OrmQ.objects.all().delete()

    # --- The workers' actions ----------------------------------------------------------

    def run_jobs(self) -> int:
        """Run the queued jobs as a worker would. Return the number of jobs."""
        done = 0
        while job := OrmQ.objects.order_by("pk").first():
            job.delete()
            module, _, name = job.task["func"].rpartition(".")
            getattr(import_module(module), name)(**job.task["kwargs"])
            done += 1
        return done

    def run_only(self, name: str) -> None:
        """Run the queued jobs with this name, and leave the others in the queue."""
        for job in OrmQ.objects.order_by("pk"):
            module, _, function = job.task["func"].rpartition(".")
            if function == name:
                job.delete()
                getattr(import_module(module), name)(**job.task["kwargs"])

    def work(self) -> None:
        """Run the scheduler and the jobs until nothing is due any more."""
        for _ in range(200):
            pipeline.tick()
            if not self.run_jobs():
                return
        raise AssertionError("There is always more to do.")

    def wait(self) -> None:
        """Let the time pass for all waiting rows, and work until nothing is due."""
        for _ in range(100):
            self.let_time_come()
            pipeline.tick()
            if not self.run_jobs():
                return
        raise AssertionError("There is always more to wait for.")

    def let_time_come(self) -> None:
        """Make all waiting rows due, and let all leases expire."""
        for model in (Assignment, Collection, Redemption, Trigger, Allowance):
            model.objects.filter(not_before__gt=Now()).update(not_before=Now())
        Breaker.objects.update(open_until=Now())
        for leased in (Assignment, Collection, Redemption):
            leased.objects.exclude(lease_until=None).update(
                lease_until=seconds_from_now(-3600)
            )

    # --- The results -------------------------------------------------------------------

    def assignment(self, customer: str) -> Assignment:
        return Assignment.objects.get(customer=customer)

    def reconcile(self, occurrence: str) -> Reconciled:
        return reconcile(Execution.objects.get(reference=occurrence))


def listener(event_type: int = EventType.SCHEDULED) -> Listener:
    return listeners.open_listener(event_type).listener


def sandbox_settings(box: sandbox.SandboxHandle) -> dict[str, str]:
    """Return the environment with which a process finds the sandbox."""
    return {
        "OPTIMOVE_API_URL": box.optimove_url,
        "OPTIMOVE_PROMOTIONS_URL": box.promotions_url,
        "OPTIMOVE_API_KEY": box.api_key,
        "PLATFORM_URL": box.platform_url,
        "PLATFORM_TOKEN": box.platform_token,
    }
