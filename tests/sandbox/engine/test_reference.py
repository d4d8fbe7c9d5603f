"""The engine and the slow obvious way agree, whatever is asked of them."""

from __future__ import annotations

from collections import Counter
from random import Random

from hypothesis import given, note, settings

from promoportal.sandbox import engine
from tests.sandbox.engine import generated, reference
from tests.sandbox.engine.generated import CHANCE
from tests.sandbox.engine.people import AFRESH


@settings(max_examples=1_000, deadline=None)
@given(CHANCE)
def test_a_promotion_goes_as_the_rules_say_step_by_step(chance: Random) -> None:
    for _ in range(3):
        story, account = generated.story(chance), AFRESH
        note(f"{story}")
        for step in story.steps:
            asked = {"account": account, **step._asdict()}
            found = engine.calculate(story.promotion, story.population, **asked)
            expected = reference.calculate(story.promotion, story.population, **asked)

            assert list(found.outcomes) == list(expected.outcomes)
            assert found.account == expected.account
            account = found.account


@settings(max_examples=500, deadline=None)
@given(CHANCE)
def test_a_condition_selects_whom_it_describes(chance: Random) -> None:
    population = generated.people(chance)
    event = {"deposit": generated.value(chance)}
    for _ in range(4):
        condition = generated.condition(chance)
        note(f"{condition} of {population}, {event}")
        described = [
            position
            for position in range(len(population))
            if reference.matches(
                condition, reference.person(population, position, event)
            )
        ]

        assert engine.select(condition, population, event) == described
        assert described == [
            position
            for position in range(len(population))
            if engine.holds(condition, population, position, event)
        ]


def test_what_is_generated_meets_every_limit() -> None:
    met: Counter[engine.Status] = Counter()
    for seed in range(600):
        story = generated.story(Random(seed))  # noqa: S311
        step = story.steps[0]
        found = engine.calculate(
            story.promotion, story.population, account=AFRESH, **step._asdict()
        )
        met.update(outcome.status for outcome in found.outcomes)

    assert all(met[status] > 50 for status in engine.Status), met
