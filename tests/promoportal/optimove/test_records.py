"""One row of Customer Assignment, whatever Optimove sends."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import fields, replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from promoportal import optimove, wire
from promoportal.optimove import Meaning, Reward, Row
from promoportal.optimove.records import MAX_LENGTH, read_row
from promoportal.wire import Json

CONTRACT = optimove.load(Path(optimove.__file__).with_name("contract.toml")).assignments

GOOD: dict[str, Any] = {
    "assignmentId": "9f0c",
    "customerId": "C234638",
    "promotionId": "promo-17",
    "promotionCode": "WB23",
    "status": "Assigned",
    "reward": {
        "tierId": "t1",
        "tierName": "Gold",
        "category": "Amount",
        "type": "BonusCash",
        "value": "10.00",
        "currency": "EUR",
    },
    "uniqueCode": None,
    "properties": {"wageringMultiplier": 10, "expiryDays": 7},
    "assignedAt": "2026-01-15T10:00:00Z",
}


def read(data: Json) -> Row:
    return read_row(data, CONTRACT, UTC)


def changed(**changes: object) -> Json:
    """Return the good row with some changes; `reward__value` is inside `reward`."""
    row = deepcopy(GOOD)
    for name, value in changes.items():
        *outer, last = name.split("__")
        target = row[outer[0]] if outer else row
        target[last] = value
    # Through the parser of the wire, so that numbers have its types.
    return wire.parse(json.dumps(row).encode())


def test_a_row_is_read() -> None:
    assert read(changed()) == Row(
        reference="9f0c",
        customer="C234638",
        promotion="promo-17",
        promotion_code="WB23",
        status="Assigned",
        meaning=Meaning.ACTIVATE,
        reward=Reward(
            category="Amount",
            type="BonusCash",
            value=Decimal("10.00"),
            value_text="10.00",
            currency="EUR",
            unit=None,
            tier="t1",
            tier_name="Gold",
        ),
        unique_code=None,
        properties={"wageringMultiplier": 10, "expiryDays": 7},
        assigned_at=datetime(2026, 1, 15, 10, tzinfo=UTC),
        raw=GOOD,
        problem="",
    )


def test_ids_may_be_numbers() -> None:
    row = read(changed(assignmentId=1, customerId=234638, promotionId=17))

    assert (row.reference, row.customer, row.promotion) == ("1", "234638", "17")
    assert row.problem == ""


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        ("Assigned", Meaning.ACTIVATE),
        ("NotEligible", Meaning.NOTHING),
        ("BudgetExceeded", Meaning.NOTHING),
        ("AudienceCapReached", Meaning.NOTHING),
        ("NoCodeAvailable", Meaning.NOTHING),
        ("Failed", Meaning.NOTHING),
        ("Cancelled", Meaning.CANCELLED),
        ("assigned", Meaning.UNKNOWN),
        ("Assigned ", Meaning.UNKNOWN),
        ("Pending", Meaning.UNKNOWN),
    ],
)
def test_a_status_has_the_meaning_of_the_contract_or_an_unknown_one(
    status: str, meaning: Meaning
) -> None:
    row = read(changed(status=status))

    assert (row.status, row.meaning, row.problem) == (status, meaning, "")
    assert (row.reward is not None) is (meaning is Meaning.ACTIVATE)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("10.00", "10.00"),
        ("10", "10"),
        ("0", "0"),
        ("007.5", "007.5"),
        ("99999999999999.999999", "99999999999999.999999"),
        pytest.param(10, "10", id="a number"),
        pytest.param(0, "0", id="nought"),
        pytest.param(10.5, "10.5", id="a fraction"),
        pytest.param(1e2, "100.0", id="a hundred"),
    ],
)
def test_a_value_keeps_its_digits(value: object, text: str) -> None:
    reward = read(changed(reward__value=value)).reward

    assert reward is not None
    assert reward.value_text == text
    assert reward.value == Decimal(text)


def test_a_fraction_sent_as_a_number_keeps_its_digits() -> None:
    data = wire.parse(json.dumps(GOOD).replace('"10.00"', "10.50").encode())
    row = read(data)

    assert row.reward is not None
    assert row.reward.value_text == "10.50"
    assert isinstance(row.raw["reward"], dict)
    assert row.raw["reward"]["value"] == 10.5


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        pytest.param({"customerId": None}, "customerId is missing.", id="no customer"),
        pytest.param({"customerId": " "}, "customerId is missing.", id="blank"),
        pytest.param({"customerId": "C" * 201}, "customerId is longer than", id="long"),
        pytest.param({"customerId": 10**200}, "customerId is longer than", id="huge"),
        pytest.param({"customerId": True}, "neither text nor a whole", id="true"),
        pytest.param({"customerId": 1.5}, "neither text nor a whole", id="a fraction"),
        pytest.param({"customerId": ["C1"]}, "neither text nor a whole", id="a list"),
        pytest.param({"customerId": "C\x001"}, "can't be stored", id="a NUL"),
        pytest.param(
            {"customerId": "C\ud800"}, "can't be stored", id="half a character"
        ),
        pytest.param(
            {"properties": {"a\x00": 1}}, "can't be stored", id="a NUL in a key"
        ),
        pytest.param(
            {"promotionId": None}, "promotionId is missing.", id="no promotion"
        ),
        pytest.param(
            {"assignmentId": None}, "assignmentId is missing.", id="no reference"
        ),
        pytest.param({"status": None}, "status is missing.", id="no status"),
        pytest.param({"status": 7.5}, "status is neither", id="a fraction for status"),
        pytest.param(
            {"promotionCode": ["WB23"]}, "promotionCode is neither", id="codes"
        ),
        pytest.param({"uniqueCode": {}}, "uniqueCode is neither", id="no code"),
        pytest.param({"properties": []}, "properties is not an object.", id="list"),
        pytest.param({"assignedAt": "soon"}, "assignedAt is not a time.", id="soon"),
        pytest.param({"assignedAt": 17}, "assignedAt is not a time.", id="a number"),
        pytest.param(
            {"assignedAt": "0001-01-01T00:00:00+14:00"},
            "assignedAt is not a time.",
            id="before time",
        ),
        pytest.param({"reward": None}, "neither a reward nor a code", id="nothing due"),
        pytest.param(
            {"reward": {}}, "neither a reward nor a code", id="an empty reward"
        ),
        pytest.param({"reward": "10 EUR"}, "reward is not an object.", id="text"),
        pytest.param(
            {"reward": []}, "reward is not an object.", id="a list of rewards"
        ),
        pytest.param({"reward__value": None}, "value is missing.", id="no value"),
        pytest.param({"reward__value": "ten"}, "not a plain number.", id="a word"),
        pytest.param({"reward__value": "10,00"}, "not a plain number.", id="a comma"),
        pytest.param({"reward__value": "1e3"}, "not a plain number.", id="an exponent"),
        pytest.param({"reward__value": "NaN"}, "not a plain number.", id="NaN"),
        pytest.param(
            {"reward__value": "-1"}, "not a plain number.", id="less, as text"
        ),
        pytest.param(
            {"reward__value": "\u0661\u0660"}, "not a plain number.", id="other digits"
        ),
        pytest.param({"reward__value": "1\n"}, "not a plain number.", id="a line"),
        pytest.param({"reward__value": True}, "not a plain number.", id="yes"),
        pytest.param(
            {"reward__value": [10]}, "not a plain number.", id="ten in a list"
        ),
        pytest.param({"reward__value": -1}, "not between 0 and", id="less"),
        pytest.param({"reward__value": -0.0}, "not between 0 and", id="less than zero"),
        pytest.param({"reward__value": 10**14}, "not between 0 and", id="too much"),
        pytest.param({"reward__value": 1e300}, "not between 0 and", id="far too much"),
        pytest.param(
            {"reward__value": 1e-300}, "not between 0 and", id="far too small"
        ),
        pytest.param(
            {"reward__value": "0.1234567"}, "more than six decimals.", id="too fine"
        ),
        pytest.param({"reward__category": None}, "category is missing.", id="no kind"),
        pytest.param(
            {"reward__category": "Percent"}, 'no category "Percent"', id="unknown kind"
        ),
        pytest.param({"reward__currency": None}, "has no currency.", id="ten of what"),
        pytest.param({"reward__currency": ""}, "has no currency.", id="ten of nothing"),
        pytest.param({"reward__tierId": {}}, "reward.tierId is neither", id="a tier"),
    ],
)
def test_a_faulty_row_has_a_problem_and_nothing_is_raised(
    changes: dict[str, object], problem: str
) -> None:
    row = read(changed(**changes))

    assert problem in row.problem
    assert row.problem.count(".") <= 3
    assert row.reference


@pytest.mark.parametrize("said", [None, 7, "Unauthorized", [], [GOOD], True])
def test_a_row_that_is_no_object_has_a_problem(said: Json) -> None:
    row = read(said)

    assert row.problem.startswith("It is not an object.") or said is None
    assert row.problem
    assert row.meaning is Meaning.UNKNOWN
    assert row.raw == {"row": said}


def test_a_row_may_have_a_code_without_a_reward() -> None:
    row = read(changed(reward=None, uniqueCode="AB12"))

    assert (row.reward, row.unique_code, row.problem) == (None, "AB12", "")


def test_the_reward_of_a_customer_who_is_not_eligible_is_not_checked() -> None:
    row = read(changed(status="NotEligible", reward="none"))

    assert (row.reward, row.problem) == (None, "")


def test_units_need_no_currency() -> None:
    row = read(changed(reward={"category": "Units", "value": 20, "unit": "spins"}))

    assert row.problem == ""
    assert row.reward is not None
    assert (row.reward.unit, row.reward.type) == ("spins", "")


def test_a_row_without_a_usable_reference_gets_a_stable_one() -> None:
    today, tomorrow = read(changed(assignmentId=True)), read(changed(assignmentId=True))
    other = read(changed(assignmentId=True, customerId="C1"))

    assert today.reference == tomorrow.reference != other.reference
    assert today.reference.startswith("unreadable-")


def test_without_a_reference_in_the_contract_customer_and_promotion_make_one() -> None:
    contract = replace(CONTRACT, row=replace(CONTRACT.row, reference=()))
    listed = read_row(changed(), contract, UTC)
    cancelled = read_row(changed(status="Cancelled"), contract, UTC)
    other = read_row(changed(customerId="C1"), contract, UTC)

    assert listed.problem == ""
    assert listed.reference == cancelled.reference != other.reference


def test_a_time_without_a_zone_has_that_of_the_contract() -> None:
    zone = optimove.load(Path(optimove.__file__).with_name("contract.toml")).vendor
    row = read_row(changed(assignedAt="2022-07-19 08:54"), CONTRACT, zone.time_zone)

    assert row.assigned_at == datetime(2022, 7, 19, 8, 54, tzinfo=UTC)


def test_an_unknown_field_is_kept_and_ignored() -> None:
    row = read(changed(newField={"deep": [1]}))

    assert row.problem == ""
    assert row.raw["newField"] == {"deep": [1]}


def test_a_stored_row_can_be_read_again() -> None:
    data = wire.parse(json.dumps(GOOD).replace('"10.00"', "10.25").encode())
    row = read(data)
    stored = json.loads(json.dumps(row.raw))

    assert optimove.reread(stored) == row


@pytest.mark.parametrize(
    "said",
    [changed(customerId="C\x001"), changed(customerId=None), "Unauthorized", None],
    ids=["a NUL", "no customer", "a word", "null"],
)
def test_a_stored_row_still_has_its_problem(said: Json) -> None:
    row = read(said)
    again = optimove.reread(json.loads(json.dumps(row.raw)))

    assert again.problem
    assert again.reference == row.reference


# --- Arbitrary values ---------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=())) | st.sampled_from(
    ["\x00", "\ud800", "x" * 300, "", " ", "NaN"]
)
NUMBER = (
    st.integers()
    | st.integers(0, 400).map(lambda power: 10**power)
    | st.decimals(allow_nan=False, allow_infinity=False)
)
ANY = st.recursive(
    st.none() | st.booleans() | NUMBER | TEXT,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3)
    ),
    max_leaves=6,
)
PLACES = [f.name for f in fields(CONTRACT.row)]


@st.composite
def rows(draw: st.DrawFn) -> Json:
    """Draw a good row with arbitrary values in some of its places."""
    row: dict[str, Any] = deepcopy(GOOD)
    for name in draw(st.sets(st.sampled_from(PLACES), max_size=4)):
        *outer, last = getattr(CONTRACT.row, name)
        target = row[outer[0]] if outer else row
        target[last] = draw(ANY)
    if draw(st.booleans()):
        row["reward"] = draw(ANY)
    return row


@pytest.mark.django_db
@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(said=rows() | ANY)
def test_anything_is_a_row_or_a_problem_and_can_be_stored(said: Json) -> None:
    row = read(said)

    texts = [row.reference, row.customer, row.promotion, row.status, row.problem]
    texts += [row.promotion_code or "", row.unique_code or ""]
    assert all(len(text) <= MAX_LENGTH for text in texts if text != row.problem)
    assert row.reference
    if not row.problem:
        assert row.customer
        assert row.promotion
        assert row.status
    if row.meaning is Meaning.ACTIVATE and not row.problem:
        assert row.reward or row.unique_code
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT %s::jsonb, %s::jsonb, %s::text[], %s::timestamptz, %s::numeric(20,6)",
            [
                json.dumps(row.raw, allow_nan=False),
                json.dumps(row.properties, allow_nan=False),
                texts,
                row.assigned_at,
                row.reward.value if row.reward else None,
            ],
        )
        stored = cursor.fetchone()
    assert stored[3] == row.assigned_at
    assert stored[4] == (row.reward and row.reward.value)
