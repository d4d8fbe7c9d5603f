"""Values, and the comparisons that they match."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promoportal.sandbox import engine
from tests.sandbox.engine.people import people, with_values

C = engine.Comparison
# Values of each kind, and their neighbours.
VALUES: list[engine.Value] = [
    *(4, 5, 5.0, Decimal("5.00"), 6),
    *("DE", "MT", "SE", "5"),
    *(date(2026, 1, 14), date(2026, 1, 15), date(2026, 1, 16)),
    *(True, False),
    *(None, float("nan"), float("inf"), -float("inf"), Decimal("NaN"), Decimal("sNaN")),
    *(datetime(2026, 1, 15, tzinfo=UTC), datetime(2026, 1, 15)),  # noqa: DTZ001
]
FIVES: list[engine.Value] = [5, 5.0, Decimal("5.00")]


def found(
    comparison: C, wanted: engine.Value | tuple[engine.Value, ...]
) -> list[object]:
    test = engine.Test("x", comparison, wanted)
    return [VALUES[each] for each in engine.select(test, with_values(*VALUES))]


@pytest.mark.parametrize(
    ("comparison", "expected"),
    [
        (C.IS, FIVES),
        (C.IS_NOT, [4, 6]),
        (C.AT_LEAST, [*FIVES, 6]),
        (C.AT_MOST, [4, *FIVES]),
        (C.ABOVE, [6]),
        (C.BELOW, [4]),
        (C.ONE_OF, FIVES),
        (C.NONE_OF, [4, 6]),
    ],
)
@pytest.mark.parametrize("wanted", FIVES)
def test_numbers_are_compared_with_numbers_of_any_type(
    wanted: engine.Value, comparison: C, expected: list[object]
) -> None:
    assert found(comparison, wanted) == expected


@pytest.mark.parametrize(
    ("comparison", "wanted", "expected"),
    [
        (C.IS, "MT", ["MT"]),
        (C.IS_NOT, "MT", ["DE", "SE", "5"]),
        (C.ABOVE, "MT", ["SE"]),
        (C.AT_MOST, "DE", ["DE", "5"]),
        (C.IS, date(2026, 1, 15), [date(2026, 1, 15)]),
        (C.BELOW, date(2026, 1, 15), [date(2026, 1, 14)]),
        (C.AT_LEAST, date(2026, 1, 15), [date(2026, 1, 15), date(2026, 1, 16)]),
        (C.IS, True, [True]),
        (C.IS_NOT, True, [False]),
        (C.AT_LEAST, False, []),
        (C.ONE_OF, ("MT", "SE", "XX"), ["MT", "SE"]),
        (C.NONE_OF, ("MT", "SE"), ["DE", "5"]),
        (C.ONE_OF, (True, "MT", 4, None), [4, "MT", True]),
        (C.NONE_OF, ("MT", 4), []),
        (C.NONE_OF, ("MT", None), []),
        (C.ONE_OF, (), []),
        (C.NONE_OF, (), VALUES[:14]),
        (C.IS, ("MT",), []),
        (C.IS_NOT, ("MT",), []),
    ],
)
def test_only_values_of_one_kind_are_compared(
    comparison: C,
    wanted: engine.Value | tuple[engine.Value, ...],
    expected: list[object],
) -> None:
    assert found(comparison, wanted) == expected


@pytest.mark.parametrize("comparison", C)
@pytest.mark.parametrize("wanted", VALUES[14:])
def test_nothing_matches_a_missing_value(comparison: C, wanted: engine.Value) -> None:
    assert found(comparison, wanted) == []


def test_an_unknown_attribute_matches_no_one() -> None:
    for name in ("nobody", "event.nothing"):
        assert engine.select(engine.Test(name, C.IS_NOT, 5), with_values(1)) == []


@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(list(C)))
def test_a_float_equals_its_decimal_text(value: float, comparison: C) -> None:
    written = Decimal(repr(value))
    for wanted in (written, written.next_plus(), written.next_minus()):
        test = engine.Test("x", comparison, wanted)
        matched = engine.select(test, with_values(value, written))

        assert matched in ([], [0, 1])


def test_without_branches_all_matches_everyone_and_any_no_one() -> None:
    assert engine.select(engine.All(), people(3)) == [0, 1, 2]
    assert engine.select(engine.EVERYONE, people(3)) == [0, 1, 2]
    assert engine.select(engine.Any(), people(3)) == []


def test_nested_branches_are_combined() -> None:
    population = people(4, x=[1, 5, 9, 9], country=["MT", "DE", "MT", "SE"])
    maltese = engine.Test("country", C.IS, "MT")
    rich = engine.Test("x", C.AT_LEAST, 5)
    both, either = engine.All((maltese, rich)), engine.Any((rich, maltese))

    assert engine.select(both, population) == [2]
    assert engine.select(either, population) == [0, 1, 2, 3]
    assert engine.select(engine.All((either, rich)), population) == [1, 2, 3]
    assert engine.select(engine.Any((both, engine.Any())), population) == [2]
    assert [engine.holds(both, population, each) for each in range(4)] == [
        False,
        False,
        True,
        False,
    ]
