"""From Optimove's webhook to the reported redemption."""

from __future__ import annotations

from executions.models import ExecutionProgress
from tests.world import World


def test_a_scheduled_campaign_reaches_every_eligible_customer_once(
    world: World,
) -> None:
    occurrence = world.box.execute(customers=250, channels=[504, 505], announce=False)

    execution = world.announce(occurrence)
    world.announce(occurrence)
    world.wait()

    found = world.reconcile(occurrence)
    ledgers = world.box.books(occurrence)
    assert ledgers.agreement is not None
    assert found.listed == 250
    assert found.active == found.eligible == found.reported > 0
    assert (found.held, found.uncertain, found.waiting, found.drift) == (0, 0, 0, 0)
    assert ledgers.platform.most_per_assignment == 1
    assert ledgers.agreement.assigned == found.active
    assert not ledgers.agreement.examples
    execution.refresh_from_db()
    assert execution.state == ExecutionProgress.SETTLED


def test_triggered_customers_are_requested_in_one_call(world: World) -> None:
    customers = [f"C{number}" for number in range(30)]
    occurrence = world.box.trigger(customers=customers, announce=False)
    for customer in customers:
        world.notify(11, campaignID=occurrence, customerID=customer)

    world.work()
    world.wait()

    found = world.reconcile(occurrence)
    calls = [call for call in world.box.calls if "customerAssignments" in call.path]
    assert len(calls) == 1
    assert found.active == found.reported == 30
    assert found.drift == 0
