"""The built-in contract file, and every mistake in a copy of it."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from datetime import UTC
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from promoportal import optimove
from promoportal.optimove import ContractError, Meaning

BUILT_IN = Path(optimove.__file__).with_name("contract.toml")


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "tenant.toml"
    path.write_text(text, "utf-8")
    return path


def edited(tmp_path: Path, before: str, after: str) -> Path:
    """Return the path of a copy with one change."""
    text = BUILT_IN.read_text("utf-8")
    assert text.count(before) == 1, before
    return write(tmp_path, text.replace(before, after))


def mistakes(path: Path) -> list[str]:
    with pytest.raises(ContractError) as caught:
        optimove.load(path)
    assert str(caught.value) == "\n".join(caught.value.sentences)
    return list(caught.value.sentences)


def test_the_built_in_contract_is_correct() -> None:
    contract = optimove.load(BUILT_IN)

    assert contract.vendor.time_zone is UTC
    assert contract.vendor.retry == {429, 503}
    assert contract.assignments.row.value == ("reward", "value")
    assert contract.assignments.statuses["Assigned"] is Meaning.ACTIVATE
    assert contract.assignments.statuses["Cancelled"] is Meaning.CANCELLED
    assert contract.redemptions.batch_limit == 1000


def test_each_line_of_it_is_confirmed_or_assumed() -> None:
    for line in BUILT_IN.read_text("utf-8").splitlines():
        if "=" in line and not line.startswith("#"):
            assert re.search(r"#.*(CONFIRMED|ASSUMED)", line), line


def test_the_contract_in_the_settings_is_read_once(
    tmp_path: Path, settings: Settings
) -> None:
    path = edited(tmp_path, "batch_limit = 1000 ", "batch_limit = 250 ")
    settings.OPTIMOVE_CONTRACT = str(path)
    assert optimove.current().redemptions.batch_limit == 250
    path.unlink()
    assert optimove.current().redemptions.batch_limit == 250

    settings.OPTIMOVE_CONTRACT = ""
    assert optimove.current() == optimove.load(BUILT_IN)


def test_a_copy_may_have_other_values(tmp_path: Path) -> None:
    text = BUILT_IN.read_text("utf-8")
    for before, after in {
        'time_zone = "UTC"': 'time_zone = "Europe/Lisbon"',
        'by = "token"': 'by = "skip"',
        'size = "body:pageSize"': 'size = "query:$top"',
        'cursor = "body:pageToken"': 'cursor = "query:$skip"',
        'next = "nextPageToken"': 'next = ""',
        'Assigned = "activate"': '"Awarded at last" = "activate"',
        'value = "reward.value"': 'value = "offer.worth.amount"',
    }.items():
        assert text.count(before) == 1
        text = text.replace(before, after)

    contract = optimove.load(write(tmp_path, text))

    assert str(contract.vendor.time_zone) == "Europe/Lisbon"
    assert contract.assignments.request.cursor.in_query
    assert contract.assignments.request.cursor.place == ("$skip",)
    assert contract.assignments.row.value == ("offer", "worth", "amount")
    assert contract.assignments.statuses["Awarded at last"] is Meaning.ACTIVATE
    assert replace(contract, vendor=contract.vendor) == contract


@pytest.mark.parametrize(
    ("before", "after", "mistake"),
    [
        pytest.param(
            "batch_limit =",
            "batch_limt =",
            'redemptions.batch_limt is not a key that is known here (did you mean "batch_limit"?)',
            id="a typo",
        ),
        pytest.param(
            'by = "token"',
            'by = "tokn"',
            'assignments.paging.by is "tokn"; it must be "token" or "skip"',
            id="a word that is none",
        ),
        pytest.param(
            "size = 1000",
            'size = "1000"',
            'size is "1000"; it must be a whole number from 1 to 100,000',
            id="text for a number",
        ),
        pytest.param("size = 1000", "size = true", "size is true;", id="a flag for it"),
        pytest.param("size = 1000", "size = 0", "size is 0;", id="too small"),
        pytest.param("size = 1000", "size = 1.5", "size is 1.5;", id="a fraction"),
        pytest.param(
            "repeat_is_safe = true",
            "repeat_is_safe = 1",
            "redemptions.repeat_is_safe is 1; it must be true or false",
            id="a number for a flag",
        ),
        pytest.param(
            'customer = "customerId"        # ASSUMED',
            'customer = ""',
            'assignments.row.customer is ""; it must be a place such as "reward.value"',
            id="nowhere",
        ),
        pytest.param(
            'value = "reward.value"',
            'value = "reward..value"',
            'assignments.row.value is "reward..value";',
            id="a step without a name",
        ),
        pytest.param(
            'customers = "body:customerIds"',
            'customers = "query:ids"',
            'it must be "body:<place>"',
            id="a list in the address",
        ),
        pytest.param(
            'cursor = "body:pageToken"',
            'cursor = "header:X-Token"',
            'it must be "body:<place>" or "query:<name>"',
            id="a target that is none",
        ),
        pytest.param(
            'path = "/v1/customerAssignments"',
            'path = "v1/customerAssignments"',
            'it must be a path that begins with "/"',
            id="half a path",
        ),
        pytest.param(
            'single = "/v1/redemptions"',
            'single = "/v1/redemptions?now=1"',
            "without ? or #",
            id="a path with a query",
        ),
        pytest.param(
            'time_zone = "UTC"',
            'time_zone = "Europe/Lisboa"',
            "it must be a time zone",
            id="nowhere on earth",
        ),
        pytest.param(
            'time_zone = "UTC"',
            'time_zone = "../../etc/passwd"',
            "it must be a time zone",
            id="a file that is none of its business",
        ),
        pytest.param(
            "retry = [429, 503]",
            "retry = [429, 401]",
            "vendor.retry is [429, 401]; it must be a list of which each is a status",
            id="an answer that no retry mends",
        ),
        pytest.param(
            "retry = [429, 503]",
            "retry = [[429]]",
            "vendor.retry is",
            id="a list in it",
        ),
        pytest.param(
            "retry = [429, 503]", "retry = 429", "vendor.retry is 429", id="no list"
        ),
        pytest.param(
            'Failed = "nothing"',
            'Failed = "ignore"',
            'assignments.statuses.Failed is "ignore"; it must be "activate" or "nothing" or "cancelled"',
            id="a meaning we do not have",
        ),
        pytest.param(
            'Amount = "currency"',
            'Amount = ["currency"]',
            "assignments.categories.Amount is ['currency']",
            id="a list for a word",
        ),
        pytest.param(
            'accepted = ["Accepted"]',
            "accepted = []",
            "it must be a list, not empty,",
            id="no word for accepted",
        ),
        pytest.param(
            'next = "nextPageToken"',
            'next = ""',
            'assignments.page.next is "", but pages are asked for by token',
            id="tokens from nowhere",
        ),
        pytest.param(
            'Assigned = "activate"',
            'Assigned = "nothing"',
            "assignments.statuses has no status that means activate",
            id="nothing to do at all",
        ),
        pytest.param(
            'reference = "reference"',
            'reference = ""',
            "redemptions.repeat_is_safe is true, but no reference is sent",
            id="a repeat that cannot be told",
        ),
        pytest.param(
            'accepted = ["Accepted"]',
            'accepted = ["Accepted", "Duplicate"]',
            "redemptions.answer.duplicate has a word that also means accepted",
            id="a word for both",
        ),
        pytest.param(
            'assignment = "assignmentId"',
            'assignment = "customerId.assignment"',
            "redemptions.request.assignment is a place that is already taken",
            id="a value inside a value",
        ),
        pytest.param(
            'size = "body:pageSize"',
            'size = "body:occurrenceId"',
            "assignments.request.size is a place that is already taken",
            id="a value over a value",
        ),
    ],
)
def test_a_mistake_is_reported_with_its_place_and_the_expected_value(
    before: str, after: str, mistake: str, tmp_path: Path
) -> None:
    path = edited(tmp_path, before, after)

    reported = mistakes(path)

    assert any(mistake in sentence for sentence in reported), reported
    assert all(sentence.startswith(f"{path}") for sentence in reported)


def test_a_mistake_is_reported_with_its_line(tmp_path: Path) -> None:
    path = edited(tmp_path, 'by = "token"', 'by = "tokn"')
    lines = path.read_text("utf-8").splitlines()
    (line,) = (n for n, text in enumerate(lines, start=1) if "tokn" in text)

    (mistake,) = mistakes(path)

    assert mistake.startswith(f"{path}, line {line}: assignments.paging.by is")


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    reported = mistakes(write(tmp_path, 'extra = 1\n[vendor]\ntime_zone = "Mars"\n'))

    assert len(reported) == 8
    assert f"{tmp_path / 'tenant.toml'}, line 3: vendor.time_zone" in reported[1]
    assert any("vendor.retry is missing; it must be a list" in it for it in reported)
    assert any("assignments is missing; it must be a table" in it for it in reported)


def test_every_key_is_required(tmp_path: Path) -> None:
    lines = BUILT_IN.read_text("utf-8").splitlines()
    words = re.compile(
        r"(Assigned|NotEl|Budget|Audience|NoCode|Failed|Cancelled|Amount|Units)"
    )
    for index, line in enumerate(lines):
        if "=" not in line or line.startswith("#") or words.match(line):
            continue
        without = "\n".join([*lines[:index], *lines[index + 1 :]])
        (mistake,) = mistakes(write(tmp_path, without))
        assert f".{line.split()[0]} is missing" in mistake


@pytest.mark.parametrize(
    ("written", "mistake"),
    [
        pytest.param(b"[vendor", "It is not TOML: ", id="half a line"),
        pytest.param(b"a = 1\na = 2", "It is not TOML: ", id="a key twice"),
        pytest.param(b"a = " + b"[" * 9999, "It is not TOML: ", id="a bomb"),
        pytest.param(b"a = " + b"1" * 9999, "It is not TOML: ", id="a long number"),
        pytest.param(b'a = "\xff"', "It is not UTF-8.", id="not text"),
        pytest.param(b"", "vendor is missing", id="nothing"),
        pytest.param(b"vendor = 7", "vendor is 7; it must be a table", id="no table"),
        pytest.param(
            b"[assignments]\nstatuses = 7",
            "statuses is 7; it must be a table",
            id="words",
        ),
    ],
)
def test_a_file_that_is_no_contract_is_refused(
    written: bytes, mistake: str, tmp_path: Path
) -> None:
    path = tmp_path / "tenant.toml"
    path.write_bytes(written)

    assert any(mistake in sentence for sentence in mistakes(path))


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    assert mistakes(tmp_path) == [f"{tmp_path}: It can't be read: Is a directory."]
    nowhere = tmp_path / "nowhere.toml"
    assert mistakes(nowhere) == [
        f"{nowhere}: It can't be read: No such file or directory."
    ]
    assert "It can't be read" in mistakes(Path("a\x00b"))[0]


def test_every_place_in_the_guide_exists() -> None:
    guide = Path(__file__).parents[3] / "docs" / "vendor.md"
    contract = tomllib.loads(BUILT_IN.read_text("utf-8"))
    for place in re.findall(
        r"`((?:vendor|external|assignments|redemptions)\.[\w.]+)`",
        guide.read_text("utf-8"),
    ):
        found: object = contract
        for step in place.split("."):
            assert isinstance(found, dict)
            assert step in found, place
            found = found[step]
