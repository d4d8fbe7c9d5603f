"""Customers that are generated, and customers from a file."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from promoportal.sandbox.engine import Value
from promoportal.sandbox.scenarios import (
    Customers,
    InvalidFile,
    Scenario,
    generated,
    load,
)

SCENARIO = """\
title = "Ours"
[customers]
file = "people.csv"
[[target_groups]]
id = 1
name = "All"
[[promotions]]
id = "p1"
code = "ONE"
name = "One"
[[promotions.tiers]]
id = "any"
name = "Any"
reward = { category = "Amount", type = "BonusCash", currency = "EUR", value = "5.00" }
[[campaigns]]
plan = 7
name = "Morning"
kind = "scheduled"
target_group = 1
promotions = ["p1"]
channels = [505]
"""
PEOPLE = """\
customer_id,spent,visits,joined,vip,phone,city
007,10.50,3,2025-01-31,true,0049,Valletta
"A, B",,-1,2024-02-29,FALSE,01,
12,7,,,,,"Sliema, Malta"
"""


def loaded(folder: Path, people: str, **options: int) -> Scenario:
    (folder / "people.csv").write_text(people)
    file = folder / "ours.toml"
    file.write_text(SCENARIO)
    return load(file, **options)


def values(customers: Customers) -> list[list[Value]]:
    return [list(customers.column(name)) for name in customers.attributes]


# --- Generated ----------------------------------------------------------------------------


def test_the_seed_decides_the_customers() -> None:
    assert values(generated(500, 7)) == values(generated(500, 7))
    assert values(generated(500, 7)) != values(generated(500, 8))


def test_the_first_thousand_customers_do_not_depend_on_the_count() -> None:
    few, many = generated(1_000, 7), generated(2_500, 7)

    assert [column[:1_000] for column in values(many)] == values(few)
    assert list(many.ids[:1_000]) == list(few.ids)


def test_the_figures_of_a_customer_are_consistent() -> None:
    customers = generated(5_000, 7)
    column = {name: customers.column(name) for name in customers.attributes}

    for n in range(len(customers)):
        deposited = column["lifetime_deposits"][n]
        assert isinstance(deposited, Decimal)
        assert (column["deposits"][n] == 0) == (deposited == 0)
        assert (column["days_since_last_bet"][n] is None) == (deposited == 0)
        last = column["last_deposit"][n]
        assert (last is None) == (deposited == 0)
        if isinstance(last, Decimal):
            assert 5 <= last <= deposited
            assert last.as_tuple().exponent == -2
        registered = column["registered"][n]
        assert isinstance(registered, date)
        assert date(2017, 1, 1) < registered <= date(2025, 12, 31)
    tiers = list(column["vip_tier"])
    assert tiers.count("Bronze") > tiers.count("Silver") > tiers.count("Gold") > 0
    assert tiers.count("Platinum") > 0


def test_a_customer_is_found_only_by_the_exact_id() -> None:
    customers = generated(100, 7)

    assert customers.position("C0000100") == 99
    unknown = ("C0000101", "C0000000", "C100", "c0000100", "", "C" + "\u0661" * 7)
    assert [customers.position(one) for one in unknown] == [None] * len(unknown)


# --- From a file --------------------------------------------------------------------------


def test_each_column_of_a_file_is_read_in_its_kind(tmp_path: Path) -> None:
    customers = loaded(tmp_path, PEOPLE).population

    assert list(customers.ids) == ["007", "A, B", "12"]
    assert {name: list(customers.column(name)) for name in customers.attributes} == {
        "customer_id": ["007", "A, B", "12"],
        "spent": [Decimal("10.50"), None, Decimal(7)],
        "visits": [3, -1, None],
        "joined": [date(2025, 1, 31), date(2024, 2, 29), None],
        "vip": [True, False, None],
        "phone": ["0049", "01", None],
        "city": ["Valletta", None, "Sliema, Malta"],
    }


def test_only_the_requested_number_of_customers_is_read_from_a_file(
    tmp_path: Path,
) -> None:
    assert len(loaded(tmp_path, PEOPLE, customers=2).population) == 2
    with pytest.raises(InvalidFile, match=r"has 3 customers; 4 were requested\."):
        loaded(tmp_path, PEOPLE, customers=4)


@pytest.mark.parametrize(
    ("people", "sentence"),
    [
        ("", "people.csv:1: The first line must name the columns"),
        ("id,spent\n1,2\n", "people.csv:1: The first line must name the columns"),
        (
            "customer_id,a,a\n1,2,3\n",
            'people.csv:1: More than one column is named "a".',
        ),
        ("customer_id,\n1,2\n", 'people.csv:1: A column must not be named "".'),
        ("customer_id\n", "people.csv:1: There must be at least one customer."),
        ("customer_id,a\n1,2\n3\n", "people.csv:3: There are 1 columns, not 2."),
        ("customer_id,a\n,2\n", "people.csv:2: The customer_id is missing."),
        ("customer_id,a\n1,2\n\n1,3\n", 'people.csv:4: "1" is also on line 2.'),
    ],
)
def test_a_mistake_in_a_file_is_reported_with_its_line(
    tmp_path: Path, people: str, sentence: str
) -> None:
    with pytest.raises(InvalidFile) as caught:
        loaded(tmp_path, people)

    as_text = [one.removeprefix(f"{tmp_path}/") for one in caught.value.sentences]
    assert any(one.startswith(sentence) for one in as_text)


def test_only_the_first_of_many_mistakes_are_listed(
    tmp_path: Path,
) -> None:
    with pytest.raises(InvalidFile) as caught:
        loaded(tmp_path, "customer_id,a\n" + "1\n" * 50)

    assert len(caught.value.sentences) < 15
    assert "more lines have errors." in caught.value.sentences[-1]
