"""Scenarios that load, and mistakes that are reported with their lines."""

from __future__ import annotations

from datetime import time
from decimal import Decimal
from pathlib import Path

import pytest

from promoportal.sandbox.engine import Direction, Percentage, State, Timeframe
from promoportal.sandbox.scenarios import InvalidFile, Scenario, load, shipped

OURS = """\
title = "Ours"
seed = 3

[customers]
count = 50

[[target_groups]]
id = 1
name = "Euros"
where = { attribute = "currency", is = "EUR" }

[[promotions]]
id = "p1"
code = "ONE"
name = "One"
sort_by = "lifetime_deposits"
sort = "high to low"

[promotions.budget]
category = "Amount"
currency = "EUR"
total = "100.00"

[promotions.cap]
recipients = 10
timeframe = "daily"

[[promotions.tiers]]
id = "gold"
name = "Gold"
when = { attribute = "vip_tier", one_of = ["Gold", "Platinum"] }
reward = { category = "Amount", type = "BonusCash", currency = "EUR", percent = 10, of = "last_deposit", minimum = "5.00", maximum = "50.00" }

[[promotions.tiers]]
id = "any"
name = "Any"
reward = { category = "Amount", type = "BonusCash", currency = "EUR", value = "5.00" }

[[campaigns]]
plan = 7
name = "Morning"
kind = "scheduled"
at = 09:30:00
target_group = 1
promotions = ["p1"]
channels = [505]

[campaigns.email]
sender = "The house <hello@example.com>"
subject = "{{ reward.value }} for you"
text = "mail.txt"

[[events]]
name = "deposit"
customers = 5
values = { amount = { from = "5.00", to = "20.00" } }
"""


def written(folder: Path, text: str = OURS) -> Path:
    (folder / "mail.txt").write_text("Hello {{ customer.email }}\n")
    file = folder / "ours.toml"
    file.write_text(text)
    return file


def mistakes_in(folder: Path, text: str) -> list[str]:
    """Return the sentences about a scenario's mistakes, without the folder."""
    with pytest.raises(InvalidFile) as caught:
        load(written(folder, text))
    return [sentence.removeprefix(f"{folder}/") for sentence in caught.value.sentences]


# --- Correct scenarios --------------------------------------------------------------------


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_scenario_loads(name: str) -> None:
    scenario = load(name)

    assert scenario.path.stem == name
    assert scenario.title
    assert scenario.about
    assert len(scenario.population) == 2_000
    assert all(one.state is State.ACTIVE for one in scenario.promotions)


def test_a_scenario_has_the_values_of_its_file(tmp_path: Path) -> None:
    scenario = load(written(tmp_path))

    [group], [promotion], [campaign], [event] = (
        scenario.groups,
        scenario.promotions,
        scenario.campaigns,
        scenario.events,
    )
    assert (scenario.title, scenario.seed, len(scenario.population)) == ("Ours", 3, 50)
    assert promotion.budget is not None
    assert promotion.budget.total == Decimal("100.00")
    assert promotion.cap is not None
    assert (promotion.cap.recipients, promotion.cap.timeframe) == (10, Timeframe.DAILY)
    assert promotion.sorting is not None
    assert promotion.sorting.direction is Direction.HIGH_TO_LOW
    assert [tier.name for tier in promotion.tiers] == ["Gold", "Any"]
    reward = promotion.tiers[0].reward
    assert reward is not None
    assert reward.size == Percentage(
        Decimal(10), "last_deposit", Decimal("5.00"), Decimal("50.00")
    )
    assert (campaign.target_group, campaign.promotions) == (group, ("p1",))
    assert (campaign.at, campaign.channels, campaign.is_triggered) == (
        time(9, 30),
        (505,),
        False,
    )
    assert campaign.email is not None
    assert campaign.email.text == "Hello {{ customer.email }}\n"
    assert (event.customers, event.values["amount"]) == (
        5,
        (Decimal("5.00"), Decimal("20.00")),
    )


def test_customers_and_seed_can_replace_those_of_the_file(tmp_path: Path) -> None:
    file = written(tmp_path)
    usual, other = load(file, customers=20), load(file, customers=20, seed=4)

    assert len(usual.population) == 20
    assert deposits_of(usual) == deposits_of(load(file, customers=20))
    assert deposits_of(usual) != deposits_of(other)


def deposits_of(scenario: Scenario) -> list[object]:
    return list(scenario.population.column("lifetime_deposits"))


# --- Mistakes -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("right", "mistaken", "sentence"),
    [
        ('title = "Ours"', 'titel = "Ours"', "1: title is missing; it must be a text."),
        ('title = "Ours"', "title = 5", "1: title must be a text; it is 5."),
        (
            "seed = 3",
            "seed = -1",
            "2: seed must be a whole number from 0 to 9,223,372,036,854,775,808; it is -1.",
        ),
        (
            "seed = 3",
            "seed = true",
            "2: seed must be a whole number from 0 to 9,223,372,036,854,775,808; it is true.",
        ),
        ("seed = 3", "seed = ", "2: The file is not valid TOML: Invalid value."),
        (
            "count = 50",
            "count = 0",
            "5: customers.count must be a whole number from 1 to 5,000,000; it is 0.",
        ),
        (
            "count = 50",
            'count = 50\nfile = "people.csv"',
            '5: customers.count cannot be combined with "file".',
        ),
        (
            "count = 50",
            'file = "people.csv"',
            '5: customers.file names "people.csv", which cannot be read: No such file or directory.',
        ),
        (
            'where = { attribute = "currency", is = "EUR" }',
            'where = { attribute = "curency", is = "EUR" }',
            '10: target_groups[0].where.attribute names the attribute "curency", which no customer has; did you mean currency?',
        ),
        (
            'where = { attribute = "currency", is = "EUR" }',
            'where = { attribute = "currency" }',
            "10: target_groups[0].where must have one of the comparisons is, is_not, at_least, at_most, above, below, one_of, none_of.",
        ),
        (
            'where = { attribute = "currency", is = "EUR" }',
            'where = { attribute = "currency", is = "EUR", above = 5 }',
            "10: target_groups[0].where.above must be a text, as currency is; it is 5.",
        ),
        (
            'where = { attribute = "currency", is = "EUR" }',
            'where = { attribute = "currency", above = 5 }',
            "10: target_groups[0].where.above must be a text, as currency is; it is 5.",
        ),
        (
            'where = { attribute = "currency", is = "EUR" }',
            "where = { all = [] }",
            "10: target_groups[0].where.all must be a list of conditions; it is an empty list.",
        ),
        (
            'where = { attribute = "currency", is = "EUR" }',
            'where = { any = [{ attribute = "age", is = 5 }, { attribut = "age" }] }',
            '10: target_groups[0].where.any[0].attribute names the attribute "age", which no customer has',
        ),
        (
            'where = { attribute = "currency", is = "EUR" }',
            'file = "nobody.csv"',
            '10: target_groups[0].file names "nobody.csv", which cannot be read: No such file or directory.',
        ),
        (
            'where = { attribute = "currency", is = "EUR" }',
            'where = { attribute = "event.amount", above = 5 }',
            '10: target_groups[0].where.attribute names "event.amount", which no event has here',
        ),
        (
            'is = "EUR"',
            'is = ["EUR", "SEK"]',
            "10: target_groups[0].where.is must be a text; it is a list.",
        ),
        (
            'one_of = ["Gold", "Platinum"]',
            "one_of = []",
            "31: promotions[0].tiers[0].when.one_of must be a list of values; it is an empty list.",
        ),
        ('id = "p1"', 'id = ""', '13: promotions[0].id must be a text; it is "".'),
        (
            'code = "ONE"',
            'code = " "',
            '14: promotions[0].code must be a text; it is " ".',
        ),
        (
            'name = "One"',
            'name = ""',
            '15: promotions[0].name must be a text; it is "".',
        ),
        (
            'sort_by = "lifetime_deposits"',
            'sort_by = ""',
            '16: promotions[0].sort_by must be a text; it is "".',
        ),
        (
            'sort_by = "lifetime_deposits"',
            'sort_by = "deposit_count_of_all"',
            '16: promotions[0].sort_by names the attribute "deposit_count_of_all", which no customer has',
        ),
        (
            'sort = "high to low"',
            'sort = "up"',
            '17: promotions[0].sort must be "high to low" or "low to high"; it is "up".',
        ),
        (
            'sort_by = "lifetime_deposits"\n',
            "",
            '16: promotions[0].sort needs "sort_by", which is missing.',
        ),
        (
            'total = "100.00"',
            'total = "-1"',
            "22: promotions[0].budget.total is invalid. The total is -1. It must be more than 0.",
        ),
        (
            'total = "100.00"',
            'total = "a lot"',
            '22: promotions[0].budget.total must be a number, such as "10.00"; it is "a lot".',
        ),
        (
            'total = "100.00"',
            'total = "100.005"',
            "22: promotions[0].budget.total is invalid. The total is 100.005, but the smallest unit of EUR is 0.01. Use a multiple of 0.01.",
        ),
        (
            'category = "Amount"\ncurrency',
            'category = "Units"\ncurrency',
            '21: promotions[0].budget.currency does not fit the category "Units"; use "unit".',
        ),
        (
            'category = "Amount"\ncurrency',
            'category = "Money"\ncurrency',
            '20: promotions[0].budget.category must be "Amount" or "Units"; it is "Money".',
        ),
        (
            "recipients = 10",
            "recipients = 0",
            "25: promotions[0].cap.recipients must be a whole number from 1 to 5,000,000; it is 0.",
        ),
        (
            'timeframe = "daily"',
            'timeframe = "weekly"',
            '26: promotions[0].cap.timeframe must be "daily" or "lifetime"; it is "weekly".',
        ),
        (
            "percent = 10, ",
            "",
            '32: promotions[0].tiers[0].reward must have either "value", or "percent" and "of".',
        ),
        (
            'of = "last_deposit", ',
            "",
            "32: promotions[0].tiers[0].reward.of is missing; it must be a text.",
        ),
        (
            'of = "last_deposit"',
            'of = "vip_tier"',
            "32: promotions[0].tiers[0].reward.of must be an attribute that is a number; vip_tier is a text.",
        ),
        (
            'minimum = "5.00", maximum = "50.00"',
            'minimum = "60.00", maximum = "50.00"',
            "32: promotions[0].tiers[0].reward.minimum must be at most the maximum (50.00); it is 60.00.",
        ),
        (
            'value = "5.00" }\n\n[[campaigns',
            'value = "5.001" }\n\n[[campaigns',
            "37: promotions[0].tiers[1].reward.value is invalid. The value is 5.001, but the smallest unit of EUR is 0.01. Use a multiple of 0.01.",
        ),
        (
            'reward = { category = "Amount", type = "BonusCash", currency = "EUR", value = "5.00" }\n',
            "",
            "34: promotions[0].tiers[1].reward is missing; only a promotion with unique codes may have tiers without rewards.",
        ),
        (
            'currency = "EUR", value',
            'unit = "EUR", value',
            '37: promotions[0].tiers[1].reward.unit does not fit the category "Amount"; use "currency".',
        ),
        (
            'value = "5.00" }\n\n[[campaigns',
            "value = nan }\n\n[[campaigns",
            '37: promotions[0].tiers[1].reward.value must be a number, such as "10.00"; it is NaN.',
        ),
        (
            'value = "5.00" }\n\n[[campaigns',
            "value = inf }\n\n[[campaigns",
            '37: promotions[0].tiers[1].reward.value must be a number, such as "10.00"; it is Infinity.',
        ),
        (
            "percent = 10",
            "percent = nan",
            '32: promotions[0].tiers[0].reward.percent must be a number, such as "10.00"; it is NaN.',
        ),
        (
            'category = "Amount", type = "BonusCash", currency = "EUR", value',
            'category = "Units", type = "FreeSpins", unit = " ", value',
            '37: promotions[0].tiers[1].reward.unit must be a text; it is " ".',
        ),
        (
            'id = "any"',
            'id = " "',
            '35: promotions[0].tiers[1].id must be a text; it is " ".',
        ),
        (
            'id = "any"',
            'id = "gold"',
            '35: promotions[0].tiers[1].id is invalid. Tier 1 also has the ID "gold". Give each tier its own ID.',
        ),
        (
            "target_group = 1",
            "target_group = 2",
            "44: campaigns[0].target_group names 2, which does not exist; known: 1.",
        ),
        (
            'promotions = ["p1"]',
            'promotions = ["p2"]',
            '45: campaigns[0].promotions[0] names "p2", which does not exist; known: p1.',
        ),
        (
            'promotions = ["p1"]',
            "promotions = []",
            "45: campaigns[0].promotions must be a list of texts, at least one; it is an empty list.",
        ),
        (
            "channels = [505]",
            "channels = []",
            "46: campaigns[0].channels must be a list of whole numbers, at least one; it is an empty list.",
        ),
        (
            "channels = [505]",
            'channels = ["mail"]',
            "46: campaigns[0].channels must be a list of whole numbers, at least one; it is a list.",
        ),
        (
            'kind = "scheduled"',
            'kind = "sometimes"',
            '42: campaigns[0].kind must be "scheduled" or "triggered"; it is "sometimes".',
        ),
        (
            'kind = "scheduled"',
            'kind = "triggered"',
            "39: campaigns[0].event is missing; it must be a text.",
        ),
        (
            "at = 09:30:00",
            'at = "morning"',
            '43: campaigns[0].at must be a time of day, such as "09:30"; it is "morning".',
        ),
        (
            'sender = "The house <hello@example.com>"',
            'sender = "nobody"',
            '49: campaigns[0].email.sender must be an address, such as "Shop <shop@example.com>"; it is "nobody".',
        ),
        (
            "{{ reward.value }}",
            "{{ reward.valeu }}",
            "50: campaigns[0].email.subject is invalid. reward.valeu is not known; did you mean reward.value?",
        ),
        (
            "{{ reward.value }}",
            "{% load static %}",
            "50: campaigns[0].email.subject is invalid. The template is invalid: Invalid block tag: 'load'.",
        ),
        (
            "{{ reward.value }}",
            "{% if %}",
            "50: campaigns[0].email.subject is invalid. The template is invalid: Unexpected end of expression in if tag.",
        ),
        (
            'text = "mail.txt"',
            'text = "letter.txt"',
            '51: campaigns[0].email.text names "letter.txt", which cannot be read: No such file or directory.',
        ),
        (
            "customers = 5",
            "customers = -5",
            "55: events[0].customers must be a whole number from 1 to 5,000,000; it is -5.",
        ),
        (
            'from = "5.00", to = "20.00"',
            'from = "50.00", to = "20.00"',
            '56: events[0].values.amount.from must be at most "to" (20.00); it is 50.00.',
        ),
        (
            "[[events]]",
            "[events]",
            "53: events must be one or more [[events]]; it is a table.",
        ),
        (
            "[[campaigns]]\nplan = 7",
            '[[campaigns]]\nplan = "seven"',
            '40: campaigns[0].plan must be a whole number from 1 to 1,000,000,000; it is "seven".',
        ),
    ],
)
def test_a_mistake_is_reported_with_its_line_and_the_expected_value(
    tmp_path: Path, right: str, mistaken: str, sentence: str
) -> None:
    assert right in OURS
    sentences = mistakes_in(tmp_path, OURS.replace(right, mistaken, 1))

    assert sentences[0].startswith(f"ours.toml:{sentence}")


def test_all_mistakes_are_reported_at_once_in_the_order_of_their_lines(
    tmp_path: Path,
) -> None:
    text = OURS.replace("seed = 3", "seed = -3")
    text = text.replace('timeframe = "daily"', "timeframe = 1")
    text = text.replace("channels = [505]", "chanels = [505]")

    sentences = mistakes_in(tmp_path, text)

    assert [one.split(":")[1] for one in sentences] == ["2", "26", "39", "46"]
    assert "did you mean channels?" in sentences[-1]


def test_a_mistake_in_a_named_file_has_that_files_line(tmp_path: Path) -> None:
    (tmp_path / "codes.csv").write_text("A1\nA2\nA1\n")
    limited = OURS.replace(
        "[promotions.cap]",
        '[promotions.unique_codes]\nfile = "codes.csv"\n\n[promotions.cap]',
    )

    [sentence] = mistakes_in(tmp_path, limited)

    assert sentence.startswith("codes.csv:3:")
    assert "A1" in sentence


@pytest.mark.parametrize(
    ("codes", "fallback", "sentence"),
    [
        ("", "ANY", "codes.csv:1: There must be one value on each line; the file is"),
        ("A\n", "", "ours.toml:26: promotions[0].unique_codes.fallback must be a text"),
    ],
)
def test_unique_codes_and_their_fallback_must_be_given(
    tmp_path: Path, codes: str, fallback: str, sentence: str
) -> None:
    (tmp_path / "codes.csv").write_text(codes)
    table = f'[promotions.unique_codes]\nfile = "codes.csv"\nfallback = "{fallback}"'

    [mistake] = mistakes_in(
        tmp_path, OURS.replace("[promotions.cap]", f"{table}\n[promotions.cap]")
    )

    assert mistake.startswith(sentence)


def test_a_blank_line_is_no_unique_code(tmp_path: Path) -> None:
    (tmp_path / "codes.csv").write_text("A\n \nB\n")
    table = '[promotions.unique_codes]\nfile = "codes.csv"'
    text = OURS.replace("[promotions.cap]", f"{table}\n[promotions.cap]")

    unique = load(written(tmp_path, text)).promotions[0].unique_codes

    assert unique is not None
    assert unique.codes == ("A", "B")


def test_a_promotion_must_have_tiers(tmp_path: Path) -> None:
    text = OURS.replace("[[promotions.tiers]]", "[[promotions.levels]]")

    [missing, unknown] = mistakes_in(tmp_path, text)

    assert "promotions[0].tiers is missing; write one or more" in missing
    assert "promotions[0].levels is not known here" in unknown


def test_a_file_that_is_not_utf_8_is_reported_with_its_line(tmp_path: Path) -> None:
    file = written(tmp_path)
    file.write_bytes(b'title = "Ours"\nabout = "\xff"\n')

    with pytest.raises(InvalidFile) as caught:
        load(file)

    assert caught.value.sentences == (f"{file}:2: The file is not valid UTF-8.",)


def test_a_missing_scenario_is_reported_with_the_shipped_ones() -> None:
    with pytest.raises(InvalidFile) as caught:
        load("nowhere")

    assert str(caught.value).endswith(f"Built-in scenarios: {', '.join(shipped())}.")
