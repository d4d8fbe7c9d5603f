"""The engine and the reference implementation agree on any generated input."""

from __future__ import annotations

from collections import Counter
from random import Random

from hypothesis import given, note, settings

from promoportal.sandbox import engine
from tests.sandbox.engine import generated, reference
from tests.sandbox.engine.generated import CHANCE
from tests.sandbox.engine.people import UNUSED


@settings(max_examples=1_000, deadline=None)
@given(CHANCE)
def test_every_allocation_equals_that_of_the_reference(chance: Random) -> None:
    for _ in range(3):
        history, account = generated.history(chance), UNUSED
        note(f"{history}")
        for step in history.steps:
            arguments = {"account": account, **step._asdict()}
            found = engine.calculate(history.promotion, history.population, **arguments)
            expected = reference.calculate(
                history.promotion, history.population, **arguments
            )

            assert list(found.outcomes) == list(expected.outcomes)
            assert found.account == expected.account
            account = found.account


@settings(max_examples=500, deadline=None)
@given(CHANCE)
def test_a_condition_selects_the_customers_of_the_reference(chance: Random) -> None:
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


def test_generated_input_reaches_every_status() -> None:
    met: Counter[engine.Status] = Counter()
    for seed in range(600):
        history = generated.history(Random(seed))  # noqa: S311
        step = history.steps[0]
        found = engine.calculate(
            history.promotion, history.population, account=UNUSED, **step._asdict()
        )
        met.update(outcome.status for outcome in found.outcomes)

    assert all(met[status] > 50 for status in engine.Status), met
