"""The Promotions API over a real socket, and every way its answers can be wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from promoportal import optimove, wire
from promoportal.optimove import (
    Contract,
    CursorRefused,
    Page,
    Promotions,
    Redemption,
    Refusal,
    Verdict,
)
from promoportal.optimove.contract import Target
from tests.promoportal.wire import raw_server as farside

CONTRACT = optimove.load(Path(optimove.__file__).with_name("contract.toml"))
ROW = {"assignmentId": "9f0c", "customerId": 1, "promotionId": "p", "status": "Failed"}
REDEMPTION = Redemption(
    occurrence="7311",
    promotion="promo-17",
    customer="C234638",
    assignment="9f0c",
    redeemed_at=datetime(2026, 1, 15, 12, 5, tzinfo=timezone(timedelta(hours=2))),
    reference=UUID("6f1a1c0e-7d7e-5b58-9a5e-0a4a3c3b2a19"),
)


def vendor(address: str, contract: Contract = CONTRACT) -> Promotions:
    return Promotions(address, key="the-key", contract=contract, seconds=5.0)


def saying(said: object, *, status: int = 200) -> farside.Speech:
    return farside.saying(farside.answer(json.dumps(said).encode(), status=status))


def page(**changes: object) -> dict[str, object]:
    return {"occurrenceId": 7311, "seriesId": 120, "assignments": [ROW]} | changes


def by_skip() -> Contract:
    listed = CONTRACT.assignments
    return replace(
        CONTRACT,
        assignments=replace(
            listed,
            paging=replace(listed.paging, by="skip", size=2),
            page=replace(listed.page, next=()),
            request=replace(
                listed.request,
                size=Target(in_query=True, place=("$top",)),
                cursor=Target(in_query=True, place=("$skip",)),
            ),
        ),
    )


# --- Assignments ------------------------------------------------------------------


def test_a_whole_execution_is_asked_for() -> None:
    said = page(nextPageToken="more", totalCount=12345)
    with farside.serving(saying(said)) as far, vendor(far.address) as client:
        found = client.assignments("7311")

        assert far.heads[0].startswith("POST /v1/customerAssignments HTTP/1.1")
        assert "X-API-KEY: the-key" in far.heads[0]
        assert json.loads(far.bodies[0]) == {
            "occurrenceId": 7311,
            "pageSize": 1000,
            "pageToken": None,
        }
    assert (found.occurrence, found.series) == ("7311", "120")
    assert (found.next_cursor, found.total) == ("more", 12345)
    assert [row.customer for row in found.rows] == ["1"]


def test_some_customers_are_asked_for_and_the_next_page() -> None:
    with farside.serving(saying(page())) as far, vendor(far.address) as client:
        client.assignments("7311", customers=["C1", "2"], cursor="more")

        assert json.loads(far.bodies[0]) == {
            "occurrenceId": 7311,
            "customerIds": ["C1", "2"],
            "pageSize": 1000,
            "pageToken": "more",
        }


@pytest.mark.parametrize("occurrence", ["7311a", "07", "٣", "", "-5"])
def test_an_id_that_is_no_number_is_sent_as_text(occurrence: str) -> None:
    said = page(occurrenceId=occurrence)
    with farside.serving(saying(said)) as far, vendor(far.address) as client:
        client.assignments(occurrence)

        assert json.loads(far.bodies[0])["occurrenceId"] == occurrence


@pytest.mark.parametrize(
    ("told", "cursor"),
    [
        pytest.param({}, None, id="none"),
        pytest.param({"nextPageToken": None}, None, id="null"),
        pytest.param({"nextPageToken": ""}, None, id="empty"),
        pytest.param({"nextPageToken": 17}, "17", id="a number"),
    ],
)
def test_a_list_ends_where_no_token_leads_on(
    told: dict[str, object], cursor: str | None
) -> None:
    with farside.serving(saying(page(**told))) as far, vendor(far.address) as client:
        assert client.assignments("7311").next_cursor == cursor


def test_a_list_by_skip_goes_on_by_rows_received_to_an_empty_page() -> None:
    answers = [
        farside.answer(json.dumps(page(assignments=rows)).encode())
        for rows in ([ROW, ROW], [ROW], [])
    ]
    with (
        farside.serving(farside.saying(*answers)) as far,
        vendor(far.address, by_skip()) as client,
    ):
        cursors: list[str | None] = [None]
        while len(cursors) == 1 or (cursors[-1] is not None and len(cursors) < 9):
            cursors.append(client.assignments("7311", cursor=cursors[-1]).next_cursor)

        assert cursors == [None, "2", "3", None]
        assert [head.split()[1].partition("?")[2] for head in far.heads] == [
            "$top=2&$skip=0",
            "$top=2&$skip=2",
            "$top=2&$skip=3",
        ]
        assert json.loads(far.bodies[0]) == {"occurrenceId": 7311}


def test_an_answer_may_be_the_list_itself() -> None:
    contract = by_skip()
    listed = contract.assignments
    bare = replace(listed, page=replace(listed.page, rows=()))
    contract = replace(contract, assignments=bare)
    with farside.serving(saying([ROW])) as far, vendor(far.address, contract) as client:
        found = client.assignments("7311")

    assert (len(found.rows), found.next_cursor, found.total) == (1, "1", None)


@pytest.mark.parametrize(
    "said",
    [
        pytest.param("Unauthorized", id="an error sentence"),
        pytest.param(None, id="nothing"),
        pytest.param([ROW], id="a list"),
        pytest.param({}, id="no rows"),
        pytest.param(page(assignments=None), id="null for rows"),
        pytest.param(page(assignments={}), id="an object for rows"),
        pytest.param(page(assignments="none"), id="text for rows"),
        pytest.param(page(occurrenceId=7312), id="another execution"),
        pytest.param(page(occurrenceId="7312"), id="another, as text"),
        pytest.param(page(occurrenceId=True), id="true"),
        pytest.param(page(occurrenceId=[7311]), id="executions"),
        pytest.param(page(seriesId={}), id="an object for a series"),
        pytest.param(page(nextPageToken=True), id="true for a token"),
        pytest.param(page(nextPageToken=1.5), id="a fraction for a token"),
        pytest.param(page(nextPageToken={}), id="an object for a token"),
        pytest.param(page(nextPageToken="t" * 4001), id="a token too long"),
        pytest.param(page(nextPageToken="a\x00b"), id="a token with a NUL"),
        pytest.param(page(nextPageToken="same"), id="the token we sent"),
        pytest.param(page(totalCount="many"), id="a word for a total"),
        pytest.param(page(totalCount=-1), id="less than none"),
        pytest.param(page(totalCount=True), id="true for a total"),
        pytest.param(page(totalCount=1.5), id="a fraction for a total"),
        pytest.param(page(totalCount=2**40), id="more than there are people"),
        pytest.param(page(totalCount=[1]), id="totals"),
    ],
)
def test_a_page_that_breaks_the_contract_is_malformed(said: object) -> None:
    with farside.serving(saying(said)) as far, vendor(far.address) as client:
        with pytest.raises(wire.Malformed) as caught:
            client.assignments("7311", cursor="same")

        assert caught.value.status == 200


def test_a_broken_row_does_not_spoil_its_page() -> None:
    said = page(assignments=[None, "x", ROW, {"customerId": []}])
    with farside.serving(saying(said)) as far, vendor(far.address) as client:
        rows = client.assignments("7311").rows

    assert [bool(row.problem) for row in rows] == [True, True, False, True]


def test_a_total_may_come_as_text() -> None:
    with (
        farside.serving(saying(page(totalCount="7"))) as far,
        vendor(far.address) as it,
    ):
        assert it.assignments("7311").total == 7


def test_a_first_list_that_is_not_found_is_not_there_yet() -> None:
    with (
        farside.serving(saying("no", status=404)) as far,
        vendor(far.address) as client,
    ):
        assert client.assignments("7311") == Page("7311", None, (), None, None)
        assert client.assignments("7311", customers=["C1"]).rows == ()
        with pytest.raises(CursorRefused):
            client.assignments("7311", cursor="more")


def test_unless_the_contract_says_otherwise() -> None:
    listed = replace(CONTRACT.assignments, first_list_may_be_missing=False)
    contract = replace(CONTRACT, assignments=listed)
    with (
        farside.serving(saying("no", status=404)) as far,
        vendor(far.address, contract) as client,
        pytest.raises(wire.Rejected) as caught,
    ):
        client.assignments("7311")

    assert not isinstance(caught.value, CursorRefused)


@pytest.mark.parametrize("status", [400, 404, 410, 422])
def test_a_cursor_that_is_refused_says_so(status: int) -> None:
    said = saying({"error": "token expired"}, status=status)
    with farside.serving(said) as far, vendor(far.address) as client:
        with pytest.raises(CursorRefused, match="token expired") as caught:
            client.assignments("7311", cursor="old")

        assert caught.value.status == status


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
def test_not_everything_that_meets_a_cursor_is_its_fault(status: int) -> None:
    with (
        farside.serving(saying("no", status=status)) as far,
        vendor(far.address) as client,
        pytest.raises(wire.WireError) as caught,
    ):
        client.assignments("7311", cursor="old")

    assert not isinstance(caught.value, CursorRefused | wire.Rejected)


def test_more_customers_than_a_call_may_name_are_not_sent() -> None:
    with (
        vendor("http://127.0.0.1:9") as client,
        pytest.raises(ValueError, match="many"),
    ):
        client.assignments("7311", customers=["C"] * 1001)


def test_a_page_may_be_larger_than_other_answers() -> None:
    row = ROW | {"properties": {"text": "x" * 2_000_000}}
    said = page(assignments=[row, row])
    with farside.serving(saying(said)) as far, vendor(far.address) as client:
        assert len(client.assignments("7311").rows) == 2


# --- Redemptions ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "verdict"),
    [
        ("Accepted", Verdict(1, ())),
        ("Duplicate", Verdict(0, (Refusal(0, "Duplicate", "", duplicate=True),))),
    ],
)
def test_one_redemption_is_told(word: str, verdict: Verdict) -> None:
    with (
        farside.serving(saying({"status": word})) as far,
        vendor(far.address) as client,
    ):
        assert client.report(REDEMPTION) == verdict

        assert far.heads[0].startswith("POST /v1/redemptions HTTP/1.1")
        assert json.loads(far.bodies[0]) == {
            "occurrenceId": 7311,
            "promotionId": "promo-17",
            "customerId": "C234638",
            "assignmentId": "9f0c",
            "redeemedAt": "2026-01-15T10:05:00Z",
            "reference": "6f1a1c0e-7d7e-5b58-9a5e-0a4a3c3b2a19",
        }


@pytest.mark.parametrize(
    "said",
    [
        *("Accepted", None, [], {}),
        *({"status": None}, {"status": "accepted"}, {"status": 1}, {"status": True}),
        *({"status": ["Accepted"]}, {"status": {"Accepted": True}}),
    ],
)
def test_a_report_without_a_known_verdict_is_malformed(said: object) -> None:
    with (
        farside.serving(saying(said)) as far,
        vendor(far.address) as client,
        pytest.raises(wire.Malformed),
    ):
        client.report(REDEMPTION)


def test_a_batch_is_told_and_some_of_it_refused() -> None:
    refused: list[dict[str, Any]] = [
        {"index": 2, "code": "UnknownAssignment", "message": "no\x00such"},
        {"index": 0, "code": "Duplicate"},
    ]
    said = {"accepted": 1, "rejected": refused}
    with farside.serving(saying(said)) as far, vendor(far.address) as client:
        verdict = client.report_batch([REDEMPTION] * 3)

        assert far.heads[0].startswith("POST /v1/redemptions/batch HTTP/1.1")
        assert len(json.loads(far.bodies[0])["redemptions"]) == 3
    assert verdict == Verdict(
        1,
        (
            Refusal(2, "UnknownAssignment", "no\ufffdsuch", duplicate=False),
            Refusal(0, "Duplicate", "", duplicate=True),
        ),
    )


def refusing(*indexes: object) -> dict[str, object]:
    rejected = [{"index": index, "code": "No", "message": "."} for index in indexes]
    return {"accepted": 3 - len(indexes), "rejected": rejected}


@pytest.mark.parametrize("rejected", [[], None])
def test_a_batch_may_be_taken_whole(rejected: object) -> None:
    said = {"accepted": 3, "rejected": rejected}
    with farside.serving(saying(said)) as far, vendor(far.address) as client:
        assert client.report_batch([REDEMPTION] * 3) == Verdict(3, ())


@pytest.mark.parametrize(
    "said",
    [
        pytest.param("Accepted", id="a word"),
        pytest.param(None, id="nothing"),
        pytest.param([], id="a list"),
        pytest.param({}, id="an empty object"),
        pytest.param({"accepted": 2, "rejected": []}, id="one is missing"),
        pytest.param({"accepted": 4, "rejected": []}, id="one too many"),
        pytest.param(
            {"accepted": 3} | {"rejected": refusing(0)["rejected"]}, id="both"
        ),
        pytest.param({"accepted": "3", "rejected": []}, id="text for a number"),
        pytest.param({"accepted": True, "rejected": []}, id="true for a number"),
        pytest.param({"accepted": -1, "rejected": []}, id="less than none"),
        pytest.param({"accepted": 3, "rejected": 0}, id="a number for a list"),
        pytest.param({"accepted": 2, "rejected": ["no"]}, id="a word for one"),
        pytest.param({"accepted": 2, "rejected": [{"index": 1}]}, id="no code"),
        pytest.param(refusing(3), id="a place beyond the end"),
        pytest.param(refusing(-1), id="a place before the start"),
        pytest.param(refusing("1"), id="text for a place"),
        pytest.param(refusing(True), id="true for a place"),
        pytest.param(refusing(1.0), id="a fraction for a place"),
        pytest.param(refusing(1, 1), id="one twice"),
    ],
)
def test_a_batch_that_is_not_accounted_for_is_malformed(said: object) -> None:
    with (
        farside.serving(saying(said)) as far,
        vendor(far.address) as client,
        pytest.raises(wire.Malformed),
    ):
        client.report_batch([REDEMPTION] * 3)


def once_only(contract: Contract) -> Contract:
    told = contract.redemptions
    request = replace(told.request, reference=())
    return replace(
        contract, redemptions=replace(told, repeat_is_safe=False, request=request)
    )


def test_where_a_report_must_not_be_repeated_a_503_promises_nothing() -> None:
    with farside.serving(saying("later", status=503)) as far:
        with vendor(far.address) as client, pytest.raises(wire.Unavailable):
            client.report(REDEMPTION)
        with (
            vendor(far.address, once_only(CONTRACT)) as client,
            pytest.raises(wire.Unanswered),
        ):
            client.report(REDEMPTION)

        assert "reference" in json.loads(far.bodies[0])
        assert "reference" not in json.loads(far.bodies[1])


def test_a_tenant_may_have_no_batches_or_smaller_ones() -> None:
    told = CONTRACT.redemptions
    single = replace(CONTRACT, redemptions=replace(told, batch=""))
    small = replace(CONTRACT, redemptions=replace(told, batch_limit=2))
    for contract, limit in ((CONTRACT, 1000), (single, 1), (small, 2)):
        with vendor("http://127.0.0.1:9", contract) as client:
            assert client.batch_limit == limit
    for contract in (single, small):
        with (
            vendor("http://127.0.0.1:9", contract) as client,
            pytest.raises(ValueError, match="such a batch"),
        ):
            client.report_batch([REDEMPTION] * 3)


def test_a_batch_may_be_a_bare_list_and_sit_on_another_host() -> None:
    with farside.serving(saying({"accepted": 1, "rejected": []})) as far:
        told = CONTRACT.redemptions
        told = replace(
            told,
            host=far.address,
            key_header="X-Other",
            request=replace(told.request, batch=(), customer=("who", "id")),
        )
        with vendor(
            "http://127.0.0.1:9", replace(CONTRACT, redemptions=told)
        ) as client:
            client.report_batch([REDEMPTION])

        assert "X-Other: the-key" in far.heads[0]
        assert json.loads(far.bodies[0])[0]["who"] == {"id": "C234638"}


Call = Callable[[Promotions], object]


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda it: it.assignments("7311"), id="assignments"),
        pytest.param(lambda it: it.report(REDEMPTION), id="report"),
        pytest.param(lambda it: it.report_batch([REDEMPTION]), id="batch"),
    ],
)
def test_the_vendors_limit_is_reported_as_such(call: Call) -> None:
    said = {
        "status": 429,
        "error": "Too Many Requests",
        "message": "Please retry later.",
    }
    with (
        farside.serving(saying(said, status=429)) as far,
        vendor(far.address) as client,
        pytest.raises(wire.Unavailable) as caught,
    ):
        call(client)

    assert caught.value.status == 429
    assert "Please retry later." in caught.value.answer


def test_the_usual_client_is_made_from_settings() -> None:
    with Promotions.from_settings() as client:
        assert client.contract == CONTRACT
        assert client.customers_per_call == 1000
    assert CONTRACT.vendor.time_zone is UTC
