"""No run of the model breaks a guarantee, within bounds that are explored completely."""

from __future__ import annotations

import pytest

from promoportal.resilience import outcome_policy
from rewards.models import Assignment
from tests.model import search
from tests.model.activation_steps import follows
from tests.model.state import CAPABILITIES, UNLISTED, Bounds, Setting

# A fault is, for example, a lost response, a crash, a set clock or a restored backup.
BOUNDS = {
    "one reward, a fault, a change and a decision": Bounds(1, 1, 1, 1),
    "one reward and two faults": Bounds(1, 2, 0, 0),
    "one reward, a fault and two decisions": Bounds(1, 1, 0, 2),
    "one reward, two changes and two decisions": Bounds(1, 0, 2, 2),
    "two rewards and a fault": Bounds(2, 1, 0, 0, workers=1),
    "two rewards, a change and a decision": Bounds(2, 0, 1, 1),
}


@pytest.mark.parametrize("bounds", BOUNDS)
@pytest.mark.parametrize("capability", CAPABILITIES)
def test_no_run_breaks_a_guarantee(capability: str, bounds: str) -> None:
    setting = Setting(*CAPABILITIES[capability], bounds=BOUNDS[bounds])

    found = search.explore(setting)

    assert found.violation is None, str(found.violation)
    assert len(found.states) > 1_000


def test_the_model_makes_only_declared_moves_and_all_of_them() -> None:
    declared = {
        (str(before), str(after))
        for before, all_after in Assignment.machines["state"].items()
        for after in all_after
    }
    made = set()
    for bounds in (Bounds(1, 1, 1, 0), Bounds(1, 0, 2, 1)):
        found = search.explore(Setting(idempotent=True, askable=True, bounds=bounds))
        made |= {move for move in found.moves if move[0] != UNLISTED}

    assert made == declared


def test_the_model_follows_the_outcome_policy_of_the_engine() -> None:
    rewards = outcome_policy.FOLLOWS.keys() - {"ACCEPTED", "PARTLY"}

    assert {follows(outcome) for outcome in rewards} == {
        ("finish",),
        ("hand_back",),
        ("retry",),
        ("put_in_doubt",),
        ("hold_malformed", "put_in_doubt"),
        ("refuse",),
    }
