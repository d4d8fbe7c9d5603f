"""Checks of conditions: comparisons that could never match anyone."""

from __future__ import annotations

from collections.abc import Iterator

from promoportal.sandbox.engine.conditions import OF_MANY, UNORDERED
from promoportal.sandbox.engine.model import EVENT, Condition, Test, Value
from promoportal.sandbox.engine.validation.problem import Mistake, Where
from promoportal.sandbox.engine.value_kinds import Kind, kind_of


def of_condition(condition: Condition, where: Where) -> Iterator[Mistake]:
    """Yield the mistakes in a tree. A branch's path is `branches` and its number."""
    if isinstance(condition, Test):
        yield from _of_test(condition, where)
        return
    for number, branch in enumerate(condition.branches):
        yield from of_condition(branch, (*where, "branches", number))


def _of_test(test: Test, where: Where) -> Iterator[Mistake]:
    if not test.attribute.removeprefix(EVENT).strip():
        yield Mistake(
            (*where, "attribute"),
            "The condition names no attribute. Say which one it is about.",
        )
    if isinstance(test.wanted, tuple):
        yield from _of_many(test, test.wanted, (*where, "wanted"))
    else:
        yield from _of_one(test, test.wanted, (*where, "wanted"))


def _of_many(test: Test, wanted: tuple[Value, ...], where: Where) -> Iterator[Mistake]:
    if test.comparison not in OF_MANY:
        sentence = (
            f"{test.attribute!r} is compared by {test.comparison.value!r} with a list. "
            "Write one value, or compare by 'one_of' or 'none_of'."
        )
        yield Mistake(where, sentence)
    elif not wanted:
        yield Mistake(where, "The list of values is empty. Write at least one.")
    elif len({kind_of(value) for value in wanted}) > 1:
        sentence = (
            "The list mixes numbers, texts, dates or truth values, which are never the "
            "same. Write values of one kind."
        )
        yield Mistake(where, sentence)
    else:
        yield from _of_one(test, wanted[0], where)


def _of_one(test: Test, wanted: Value, where: Where) -> Iterator[Mistake]:
    kind = kind_of(wanted)
    if kind is None:
        sentence = (
            f"{test.attribute!r} is compared with {wanted}, which matches no one. Write "
            "a number, a text, a date, or true or false."
        )
        yield Mistake(where, sentence)
    elif kind is Kind.TRUTH and test.comparison not in UNORDERED:
        sentence = (
            f"{test.attribute!r} is compared by {test.comparison.value!r} with true or "
            "false, which have no order. Compare by 'is' or 'is_not'."
        )
        yield Mistake((*where[:-1], "comparison"), sentence)
