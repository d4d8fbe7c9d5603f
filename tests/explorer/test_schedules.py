"""Schedules: the same ID runs the same schedule, and a broken promise is found."""

from __future__ import annotations

import pytest

from bench.explorer.exploration import Search
from bench.explorer.schedules import (
    CAPABILITIES,
    Budget,
    Diverged,
    Option,
    named,
    read_name,
    repeat,
)
from promoportal.runtime.crash_points import Point
from tests.explorer.conftest import Open

pytestmark = pytest.mark.timeout(400)


def test_an_id_names_the_capability_and_each_choice() -> None:
    name = named("neither", ((3, 1), (12, 4)))

    assert name == "neither-3.1-12.4"
    assert read_name(name) == ("neither", {3: 1, 12: 4})


@pytest.mark.parametrize("name", ["", "both-1.2", "neither-x"])
def test_other_texts_are_no_ids(name: str) -> None:
    with pytest.raises(ValueError, match=r"schedule|invalid"):
        read_name(name)


def test_without_deviations_both_rewards_are_credited_and_reported(
    opened: Open,
) -> None:
    explorer = opened("idempotent,askable")
    explorer.told = []

    assert not repeat(explorer, {})

    story = "\n".join(explorer.told)
    assert Point.ACTIVATING_CLAIMED in story
    assert Point.REPORTING_CONCLUDED in story
    assert {credit.customer for credit in explorer.sides.world.credits} == {"C1", "C2"}
    assert len(explorer.sides.world.reports) == 2


def test_the_same_id_tells_the_same_story_twice(opened: Open) -> None:
    explorer = opened("askable")
    stories = []
    for _ in range(2):
        explorer.told = []
        assert not repeat(explorer, {3: 2, 8: 1})
        stories.append(explorer.told)

    assert stories[0] == stories[1]
    assert any("kill" in line for line in stories[0])


def test_a_choice_that_a_schedule_does_not_have_ends_it_and_all_its_jobs(
    opened: Open,
) -> None:
    explorer = opened("askable")

    with pytest.raises(Diverged):
        repeat(explorer, {3: 1, 5: 999})
    explorer.end_all()

    assert not repeat(explorer, {})


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_a_sample_of_schedules_breaks_no_guarantee(
    opened: Open, capability: str
) -> None:
    search = Search(opened(capability), seconds=3, seed=3)

    found = search.run(Budget(preemptions=2, faults=2))

    assert not found.bad, found
    assert found.runs > 3


def test_a_worker_that_was_frozen_takes_no_reward_from_another_one(
    opened: Open,
) -> None:
    explorer = opened("askable", reports=False)
    # The first worker is frozen after its claim, until the platform does not know its
    # rewards. It continues after the platform has the requests of the second worker.
    sleeps = ["activating.claimed", "activating.answered"]

    def choose(_: int, options: list[Option]) -> int:
        names = [option.name for option in options]
        running = [
            actor
            for actor in explorer.turns.by_token.values()
            if actor not in explorer.suspended
        ]
        if running and sleeps and running[0].at == sleeps[0]:
            sleeps.pop(0)
            return names.index("sleep")
        if not running and len(sleeps) == 1 and names[0].startswith("resume"):
            return names.index("time passes")
        return 0

    explorer.begin(explorer.first)
    assert explorer.run(choose)

    assert not explorer.problems
    assert not sleeps
    taken = dict(explorer.taken)
    explorer.told = []
    assert not repeat(explorer, taken)
    assert sum("sleep" in line for line in explorer.told) == 2


def test_a_platform_that_does_not_know_its_keys_is_found(opened: Open) -> None:
    explorer = opened("idempotent", breaks_promise=True, reports=False)

    found = Search(explorer, seconds=200).run(Budget(faults=1))

    assert any("Credited 2 times" in problem for problem in found.problems), found
    capability, choices = read_name(found.bad)
    assert capability == "idempotent"
    assert repeat(explorer, choices) == found.problems
