from __future__ import annotations

import pytest

from promoportal import sandbox
from tests.sandbox.callers import Operator


@pytest.mark.parametrize("size", [1, 7, 10, 1000])
def test_following_the_tokens_lists_every_customer_once(
    box: sandbox.SandboxHandle, operator: Operator, size: int
) -> None:
    occurrence = box.execute(customers=20)

    listed = operator.listed(occurrence, pageSize=size)

    assert len({row["assignmentId"] for row in listed}) == len(listed) == 20
    assert listed == box.rows(occurrence)


def test_a_page_names_its_occurrence_and_the_total(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    occurrence = box.execute(customers=20, series=120)

    page = operator.assignments(occurrence, pageSize=3).json()

    assert page["occurrenceId"] == int(occurrence)
    assert (page["seriesId"], page["totalCount"]) == (120, 20)


def test_a_reward_is_null_unless_it_was_assigned(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    occurrence = box.execute(customers=200, eligible=0.5)

    listed = operator.listed(occurrence, pageSize=1000)

    assert {row["status"] for row in listed} > {"Assigned", "NotEligible"}
    for row in listed:
        assert (row["reward"] is None) == (row["status"] != "Assigned")


def test_a_unique_code_comes_without_a_reward(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    occurrence = box.execute(customers=5, promotions=["promo-19"], eligible=1)

    listed = operator.listed(occurrence)

    assert all(row["reward"] is None for row in listed)
    assert len({row["uniqueCode"] for row in listed}) == 5


def test_no_page_is_longer_than_optimove_allows(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    occurrence = box.execute(customers=1_500)

    page = operator.assignments(occurrence, pageSize=100_000).json()

    assert len(page["assignments"]) == 1_000
    assert page["nextPageToken"]


def test_without_a_page_size_pages_are_small(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    occurrence = box.execute(customers=150)

    assert [len(page["assignments"]) for page in operator.pages(occurrence)] == [
        100,
        50,
    ]


def test_a_full_last_page_is_followed_by_an_empty_one(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    occurrence = box.execute(customers=4)

    pages = list(operator.pages(occurrence, pageSize=2))

    assert [len(page["assignments"]) for page in pages] == [2, 2, 0]
    assert pages[-1]["nextPageToken"] is None


def test_a_list_of_one_page_has_no_token_at_all(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    occurrence = box.execute(customers=4)

    assert "nextPageToken" not in operator.assignments(occurrence).json()


def test_only_the_requested_customers_are_listed(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    occurrence = box.execute(customers=20)

    wanted = ["C000003", "C000001", "C000003", "C999999"]
    page = operator.assignments(occurrence, customerIds=wanted).json()

    assert [row["customerId"] for row in page["assignments"]] == ["C000003", "C000001"]
    assert page["totalCount"] == 2


def test_an_empty_list_of_customers_lists_no_one(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    occurrence = box.execute(customers=20)

    assert operator.listed(occurrence, customerIds=[]) == []


def test_numeric_customers_are_found_as_text_too(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    occurrence = box.execute(customers=3, ids="numbers")

    listed = operator.listed(occurrence, customerIds=["1000002"])

    assert [row["customerId"] for row in listed] == [1_000_002]
    assert isinstance(listed[0]["assignmentId"], int)


def test_ids_may_be_text_and_numbers_in_one_list(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    occurrence = box.execute(customers=2, ids="mixed")

    customers = [row["customerId"] for row in operator.listed(occurrence)]

    assert customers == ["C000001", 1_000_002]


def test_every_promotion_has_a_row_for_every_customer(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    occurrence = box.execute(customers=10, promotions=["promo-17", "promo-18"])

    listed = operator.listed(occurrence)

    assert len({(row["customerId"], row["promotionId"]) for row in listed}) == 20


def test_an_unknown_occurrence_looks_like_an_empty_campaign(operator: Operator) -> None:
    answer = operator.assignments("404")

    assert answer.status_code == 200
    assert answer.json()["assignments"] == []
    assert answer.json()["totalCount"] == 0


@pytest.mark.parametrize(
    "body",
    [
        {"occurrenceId": None},
        {"occurrenceId": True},
        {"occurrenceId": {}},
        {"pageSize": 0},
        {"pageSize": "ten"},
        {"pageSize": True},
        {"pageToken": 7},
        {"pageToken": "nonsense"},
        {"pageToken": "W10="},
        {"customerIds": "C000001"},
        {"customerIds": [None]},
        {"customerIds": ["C"] * 10_001},
    ],
)
def test_an_invalid_request_is_refused(
    box: sandbox.SandboxHandle, operator: Operator, body: dict[str, object]
) -> None:
    occurrence = box.execute(customers=3)

    answer = operator.assignments(**{"occurrence": occurrence} | body)  # type: ignore[arg-type]

    assert answer.status_code == 400


def test_a_token_is_valid_only_for_its_list(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    first, second = box.execute(customers=5), box.execute(customers=5)
    token = operator.assignments(first, pageSize=2).json()["nextPageToken"]

    assert operator.assignments(second, pageToken=token).status_code == 400
    assert (
        operator.assignments(first, pageToken=token, customerIds=["C"]).status_code
        == 400
    )


def test_a_token_of_an_earlier_run_is_refused(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    box.open("7311")
    box.assign("7311", "C1")
    token = operator.assignments("7311", pageSize=1).json()["nextPageToken"]

    box.reset()
    box.assign("7311", "C1")

    assert operator.assignments("7311", pageToken=token).status_code == 400


def test_a_row_made_by_hand_is_listed_unchanged(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    assignment = box.assign("7311", "C1", status="Teleported", reward={"value": 7})
    box.list_row("7311", "not a row")
    box.list_row("7311", None)

    row, *others = operator.listed("7311")

    assert row["assignmentId"] == assignment
    assert (row["status"], row["reward"]) == ("Teleported", {"value": 7})
    assert others == ["not a row", None]


def test_a_later_fetch_sees_the_changes(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    occurrence = box.execute(customers=3, eligible=1)
    first, second, third = operator.listed(occurrence)

    box.change(occurrence, first["assignmentId"], status="Cancelled")
    box.change(occurrence, second["assignmentId"], reward={"value": "9.99"})
    box.unlist(occurrence, third["assignmentId"])

    one, two = operator.listed(occurrence)
    assert (one["status"], one["reward"]) == ("Cancelled", None)
    assert two["reward"] == {"value": "9.99"}


def test_the_same_seed_gives_the_same_outcomes(
    box: sandbox.SandboxHandle,
) -> None:
    def decided(seed: int) -> list[tuple[object, object]]:
        rows = box.rows(box.execute(customers=50, seed=seed))
        return [(row["status"], row["reward"]) for row in rows]  # type: ignore[index]

    assert decided(1) == decided(1)
    assert decided(1) != decided(2)


def test_later_runs_use_other_occurrence_ids() -> None:
    with sandbox.serving() as earlier:
        first = earlier.execute(customers=1)
    with sandbox.serving() as later:
        second = later.execute(customers=1)

    assert int(first) <= int(second) < 2**31
