"""A new release takes over the claims and jobs of an old one."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
from django.db import transaction
from django_q.models import Failure, OrmQ
from django_q.tasks import async_task

from bench.clusters import start_cluster
from executions.models import Delivery, DeliveryState
from promoportal import jobs, sandbox
from promoportal.sandbox import Fault
from redemptions.models import Redemption, RedemptionState, Report
from rewards.models import Assignment, AssignmentState, Attempt
from tests.engine.conftest import kill_family
from tests.engine.processes import until
from tests.project import fixed_names, tree
from tests.world import World, sandbox_settings

# Jobs wait in the database during an upgrade: they name tasks of the last release.
RELEASED = {
    "portal": ["executions.tasks.read_deliveries", "rewards.tasks.activate_one"],
    "collect": [
        "rewards.tasks.collect",
        "rewards.tasks.settle",
        "redemptions.tasks.report",
    ],
    "bulk": [
        "rewards.tasks.activate",
        "rewards.tasks.follow_cancellations",
        "rewards.tasks.follow_clearances",
        "rewards.tasks.retry_many",
    ],
}


def test_a_stopped_worker_releases_its_claims_within_seconds(
    transactional_db: None, box: sandbox.SandboxHandle, environment: dict[str, str]
) -> None:
    """A turn takes eight seconds, and a chunk of a hundred calls takes longer."""
    world = World(box)
    for number in range(300):
        box.assign("7311", f"C{number}")
    world.collect("7311")
    box.order(Fault(kind="slow", side="platform", seconds=1, times=300))
    process = start_cluster("bulk", environment | sandbox_settings(box))
    try:
        until(lambda: box.credits, "the first are given")

        process.send_signal(signal.SIGTERM)

        assert process.wait(timeout=6) == 0
    finally:
        kill_family(process)
    states = set(Assignment.objects.values_list("state", flat=True))
    assert states == {AssignmentState.OWED, AssignmentState.ACTIVE}
    assert not Attempt.objects.filter(outcome="").exists()
    assert Attempt.objects.filter(outcome=Attempt.Outcome.NOT_SENT).exists()
    box.clear_faults()
    successor = start_cluster("bulk", environment | sandbox_settings(box))
    try:
        until(lambda: len(box.credits) >= 300, "the next one gives the rest")
    finally:
        kill_family(successor)
    assert len(box.credits) == len({credit.customer for credit in box.credits}) == 300


@pytest.mark.parametrize("queue", jobs.QUEUES)
def test_jobs_of_the_last_release_are_run(
    transactional_db: None,
    box: sandbox.SandboxHandle,
    environment: dict[str, str],
    queue: jobs.Queue,
) -> None:
    row = create_work(World(box), queue)
    OrmQ.objects.all().delete()
    with transaction.atomic():
        for name in RELEASED[queue]:
            keys = {"pk": row.pk} if name.endswith("_one") else {}
            async_task(name, cluster=queue, **keys)

    process = start_cluster(queue, environment | sandbox_settings(box))
    try:
        until(lambda: is_done(queue), "what was due is done")
        until(lambda: not OrmQ.objects.filter(key=queue).exists(), "no job is left")
    finally:
        kill_family(process)

    assert not Failure.objects.exists()


def create_work(world: World, queue: str) -> Assignment:
    """Create due work of each kind that the queue processes."""
    world.box.assign("7311", "C1")
    world.collect("7311")
    if queue == "collect":
        world.run_activation()
        Redemption.objects.update(not_before="2026-01-01T00:00Z")
    if queue == "portal":
        world.notify(CampaignID=7311, ChannelID=505)
    return Assignment.objects.get()


def is_done(queue: str) -> bool:
    """Return whether the rows show that the queue's work is done."""
    activated = Assignment.objects.filter(state=AssignmentState.ACTIVE).exists()
    read = not Delivery.objects.filter(state=DeliveryState.UNREAD).exists()
    reported = Report.objects.exists() and not Redemption.objects.exclude(
        state=RedemptionState.REPORTED
    )
    return {"portal": activated and read, "bulk": activated, "collect": reported}[queue]


def test_the_list_of_released_jobs_has_every_task() -> None:
    tasks = {name.partition("(")[0] for name in fixed_names.recorded()["tasks"]}
    assert {name for names in RELEASED.values() for name in names} == tasks


def test_a_supervisor_of_the_last_release_can_restart_the_web_process() -> None:
    """It uses the old name of gunicorn's configuration."""
    checked = subprocess.run(
        [
            *(sys.executable, "-m", "gunicorn", "--check-config"),
            *("--config", "python:promoportal.gunicorn"),
        ],
        cwd=tree.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
