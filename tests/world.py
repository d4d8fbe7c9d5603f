"""A small world: the portal, its far sides, and a worker that works when it is told."""

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
    """The portal between both far sides. Jobs run from the real queue, here and now."""

    def __init__(self, box: sandbox.SandboxHandle) -> None:
        self.box = box
        self.client = Client()
        self._paths: dict[int, str] = {}

    # --- What the vendor does ---------------------------------------------------------

    def path(self, event_type: int = EventType.SCHEDULED) -> str:
        """The address of our listener for these events, opened when first needed."""
        if event_type not in self._paths:
            self._paths[event_type] = listeners.open_listener(event_type).path
        return self._paths[event_type]

    def post(self, body: bytes, event_type: int = EventType.SCHEDULED) -> Delivery:
        """Deliver these bytes; gives the delivery that was kept."""
        answer = self.client.post(
            self.path(event_type), body, content_type="application/json"
        )
        assert answer.status_code == 200, answer.content
        return Delivery.objects.get(pk=answer.json()["delivery"])

    def notify(self, event_type: int = EventType.SCHEDULED, **said: Any) -> Delivery:
        """Deliver a notice that says this."""
        return self.post(json.dumps(said).encode(), event_type)

    def announce(self, occurrence: str) -> Execution:
        """Deliver the notice of a scheduled execution, and work until nothing is due."""
        self.notify(CampaignID=int(occurrence), ChannelID=505)
        self.work()
        return Execution.objects.get(reference=occurrence)

    def collect(self, occurrence: str) -> Execution:
        """Collect an execution's list, and leave what it owes alone."""
        execution = open_execution(occurrence)
        while collect.due_executions().exists():
            collect.collect()
        OrmQ.objects.all().delete()
        return execution

    def open(self, occurrence: str) -> Execution:
        """Announce an execution, and leave its collecting to the workers."""
        return open_execution(occurrence)

    def run_activation(self) -> None:
        """Activate what is due, once."""
        activate.activate()
        OrmQ.objects.all().delete()

    # --- What the workers do ----------------------------------------------------------

    def run_jobs(self) -> int:
        """Run what is queued, as a worker would; gives how many jobs that were."""
        done = 0
        while job := OrmQ.objects.order_by("pk").first():
            job.delete()
            module, _, name = job.task["func"].rpartition(".")
            getattr(import_module(module), name)(**job.task["kwargs"])
            done += 1
        return done

    def run_only(self, name: str) -> None:
        """Run the queued jobs of this name, and leave the others waiting."""
        for job in OrmQ.objects.order_by("pk"):
            module, _, function = job.task["func"].rpartition(".")
            if function == name:
                job.delete()
                getattr(import_module(module), name)(**job.task["kwargs"])

    def work(self) -> None:
        """Tick and run jobs until nothing is due any more."""
        for _ in range(200):
            pipeline.tick()
            if not self.run_jobs():
                return
        raise AssertionError("There is always more to do.")

    def wait(self) -> None:
        """Let the time come for all that waits, and work until nothing is due."""
        for _ in range(100):
            self.let_time_come()
            pipeline.tick()
            if not self.run_jobs():
                return
        raise AssertionError("There is always more to wait for.")

    def let_time_come(self) -> None:
        """What waits for its time waits no longer; what was leased is over."""
        for model in (Assignment, Collection, Redemption, Trigger, Allowance):
            model.objects.filter(not_before__gt=Now()).update(not_before=Now())
        Breaker.objects.update(open_until=Now())
        for leased in (Assignment, Collection, Redemption):
            leased.objects.exclude(lease_until=None).update(
                lease_until=seconds_from_now(-3600)
            )

    # --- What came of it --------------------------------------------------------------

    def assignment(self, customer: str) -> Assignment:
        return Assignment.objects.get(customer=customer)

    def reconcile(self, occurrence: str) -> Reconciled:
        return reconcile(Execution.objects.get(reference=occurrence))


def listener(event_type: int = EventType.SCHEDULED) -> Listener:
    return listeners.open_listener(event_type).listener


def far_sides(box: sandbox.SandboxHandle) -> dict[str, str]:
    """What a process's environment says of where they are."""
    return {
        "OPTIMOVE_API_URL": box.optimove_url,
        "OPTIMOVE_PROMOTIONS_URL": box.promotions_url,
        "OPTIMOVE_API_KEY": box.api_key,
        "PLATFORM_URL": box.platform_url,
        "PLATFORM_TOKEN": box.platform_token,
    }
