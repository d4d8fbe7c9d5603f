"""Idempotency keys are derived, so that the platform recognises a reward."""

from __future__ import annotations

from itertools import product

from executions.lifecycle import open_execution
from redemptions.models import Redemption
from rewards.idempotency import idempotency_key, redemption_reference
from rewards.models import Assignment, AssignmentState, Collection
from tests.world import World


def forget_what_was_collected() -> None:
    """Delete fetched rows, as a backup restored from an earlier time does."""
    Redemption.objects.all().delete()
    Assignment.objects.all().delete()
    Collection.objects.all().delete()


def test_a_reward_lost_in_a_restored_backup_is_credited_once(world: World) -> None:
    for customer in ("C1", "C2", "C3"):
        world.box.assign("7311", customer)
    open_execution("7311")
    world.wait()
    before = dict(Assignment.objects.values_list("reference", "key"))
    forget_what_was_collected()

    open_execution("7311")
    world.wait()

    assert dict(Assignment.objects.values_list("reference", "key")) == before
    assert set(Assignment.objects.values_list("state", flat=True)) == {
        AssignmentState.ACTIVE
    }
    assert world.box.books("7311").platform.most_per_assignment == 1
    assert len(world.box.credits) == 3


def test_each_reward_has_its_own_key(world: World) -> None:
    # IDs that would be the same if they were only concatenated.
    ids = ("1", "11", "1,1", '1","1', "")
    keys = {idempotency_key(*three) for three in product(ids, repeat=3)}

    assert len(keys) == len(ids) ** 3
    assert idempotency_key("1", "1", "1", "1") not in keys


def test_a_redemption_always_has_the_same_reference(world: World) -> None:
    one, other = (
        idempotency_key("7311", "promo-17", "C1"),
        idempotency_key("7311", "promo-17", "C2"),
    )

    assert redemption_reference(one) == redemption_reference(one)
    assert redemption_reference(one) not in {one, redemption_reference(other)}
