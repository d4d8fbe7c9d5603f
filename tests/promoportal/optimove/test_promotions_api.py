"""The Promotions API over a real socket, with every kind of invalid response."""

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
from promoportal.optimove.contract_reader import Target
from tests.promoportal.wire import raw_server as raw

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


def connect(address: str, contract: Contract = CONTRACT) -> Promotions:
    return Promotions(address, key="the-key", contract=contract, seconds=5.0)


def json_answer(data: object, *, status: int = 200) -> raw.Speech:
    return raw.saying(raw.answer(json.dumps(data).encode(), status=status))


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


def test_the_assignments_of_an_execution_are_requested() -> None:
    data = page(nextPageToken="more", totalCount=12345)
    with raw.serving(json_answer(data)) as api, connect(api.address) as client:
        found = client.assignments("7311")

        assert api.heads[0].startswith("POST /v1/customerAssignments HTTP/1.1")
        assert "X-API-KEY: the-key" in api.heads[0]
        assert json.loads(api.bodies[0]) == {
            "occurrenceId": 7311,
            "pageSize": 1000,
            "pageToken": None,
        }
    assert (found.occurrence, found.series) == ("7311", "120")
    assert (found.next_cursor, found.total) == ("more", 12345)
    assert [row.customer for row in found.rows] == ["1"]


def test_some_customers_and_the_next_page_are_requested() -> None:
    with raw.serving(json_answer(page())) as api, connect(api.address) as client:
        client.assignments("7311", customers=["C1", "2"], cursor="more")

        assert json.loads(api.bodies[0]) == {
            "occurrenceId": 7311,
            "customerIds": ["C1", "2"],
            "pageSize": 1000,
            "pageToken": "more",
        }


@pytest.mark.parametrize("occurrence", ["7311a", "07", "٣", "", "-5"])
def test_an_id_that_is_no_number_is_sent_as_text(occurrence: str) -> None:
    data = page(occurrenceId=occurrence)
    with raw.serving(json_answer(data)) as api, connect(api.address) as client:
        client.assignments(occurrence)

        assert json.loads(api.bodies[0])["occurrenceId"] == occurrence


@pytest.mark.parametrize(
    ("told", "cursor"),
    [
        pytest.param({}, None, id="none"),
        pytest.param({"nextPageToken": None}, None, id="null"),
        pytest.param({"nextPageToken": ""}, None, id="empty"),
        pytest.param({"nextPageToken": 17}, "17", id="a number"),
    ],
)
def test_a_list_ends_with_a_page_without_a_token(
    told: dict[str, object], cursor: str | None
) -> None:
    with raw.serving(json_answer(page(**told))) as api, connect(api.address) as client:
        assert client.assignments("7311").next_cursor == cursor


def test_a_list_by_skip_advances_by_the_received_rows_to_an_empty_page() -> None:
    answers = [
        raw.answer(json.dumps(page(assignments=rows)).encode())
        for rows in ([ROW, ROW], [ROW], [])
    ]
    with (
        raw.serving(raw.saying(*answers)) as api,
        connect(api.address, by_skip()) as client,
    ):
        cursors: list[str | None] = [None]
        while len(cursors) == 1 or (cursors[-1] is not None and len(cursors) < 9):
            cursors.append(client.assignments("7311", cursor=cursors[-1]).next_cursor)

        assert cursors == [None, "2", "3", None]
        assert [head.split()[1].partition("?")[2] for head in api.heads] == [
            "$top=2&$skip=0",
            "$top=2&$skip=2",
            "$top=2&$skip=3",
        ]
        assert json.loads(api.bodies[0]) == {"occurrenceId": 7311}


def test_an_answer_may_be_the_list_itself() -> None:
    contract = by_skip()
    listed = contract.assignments
    bare = replace(listed, page=replace(listed.page, rows=()))
    contract = replace(contract, assignments=bare)
    with (
        raw.serving(json_answer([ROW])) as api,
        connect(api.address, contract) as client,
    ):
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
    with raw.serving(json_answer(said)) as api, connect(api.address) as client:
        with pytest.raises(wire.Malformed) as caught:
            client.assignments("7311", cursor="same")

        assert caught.value.status == 200


def test_a_broken_row_does_not_invalidate_its_page() -> None:
    data = page(assignments=[None, "x", ROW, {"customerId": []}])
    with raw.serving(json_answer(data)) as api, connect(api.address) as client:
        rows = client.assignments("7311").rows

    assert [bool(row.problem) for row in rows] == [True, True, False, True]


def test_a_total_may_be_sent_as_text() -> None:
    with (
        raw.serving(json_answer(page(totalCount="7"))) as api,
        connect(api.address) as client,
    ):
        assert client.assignments("7311").total == 7


def test_a_404_for_the_first_list_means_that_it_is_empty_so_far() -> None:
    with (
        raw.serving(json_answer("no", status=404)) as api,
        connect(api.address) as client,
    ):
        assert client.assignments("7311") == Page("7311", None, (), None, None)
        assert client.assignments("7311", customers=["C1"]).rows == ()
        with pytest.raises(CursorRefused):
            client.assignments("7311", cursor="more")


def test_the_contract_may_make_a_404_for_the_first_list_an_error() -> None:
    listed = replace(CONTRACT.assignments, first_list_may_be_missing=False)
    contract = replace(CONTRACT, assignments=listed)
    with (
        raw.serving(json_answer("no", status=404)) as api,
        connect(api.address, contract) as client,
        pytest.raises(wire.Rejected) as caught,
    ):
        client.assignments("7311")

    assert not isinstance(caught.value, CursorRefused)


@pytest.mark.parametrize("status", [400, 404, 410, 422])
def test_a_refused_cursor_raises_its_own_error(status: int) -> None:
    data = json_answer({"error": "token expired"}, status=status)
    with raw.serving(data) as api, connect(api.address) as client:
        with pytest.raises(CursorRefused, match="token expired") as caught:
            client.assignments("7311", cursor="old")

        assert caught.value.status == status


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
def test_other_errors_do_not_refuse_the_cursor(status: int) -> None:
    with (
        raw.serving(json_answer("no", status=status)) as api,
        connect(api.address) as client,
        pytest.raises(wire.WireError) as caught,
    ):
        client.assignments("7311", cursor="old")

    assert not isinstance(caught.value, CursorRefused | wire.Rejected)


def test_too_many_customers_for_one_call_are_not_sent() -> None:
    with (
        connect("http://127.0.0.1:9") as client,
        pytest.raises(ValueError, match="fewer customers"),
    ):
        client.assignments("7311", customers=["C"] * 1001)


def test_a_page_may_be_larger_than_other_answers() -> None:
    row = ROW | {"properties": {"text": "x" * 2_000_000}}
    data = page(assignments=[row, row])
    with raw.serving(json_answer(data)) as api, connect(api.address) as client:
        assert len(client.assignments("7311").rows) == 2


# --- Redemptions ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "verdict"),
    [
        ("Accepted", Verdict(1, ())),
        ("Duplicate", Verdict(0, (Refusal(0, "Duplicate", "", duplicate=True),))),
    ],
)
def test_one_redemption_is_reported(word: str, verdict: Verdict) -> None:
    with (
        raw.serving(json_answer({"status": word})) as api,
        connect(api.address) as client,
    ):
        assert client.report(REDEMPTION) == verdict

        assert api.heads[0].startswith("POST /v1/redemptions HTTP/1.1")
        assert json.loads(api.bodies[0]) == {
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
        raw.serving(json_answer(said)) as api,
        connect(api.address) as client,
        pytest.raises(wire.Malformed),
    ):
        client.report(REDEMPTION)


def test_a_batch_is_reported_and_partly_refused() -> None:
    refused: list[dict[str, Any]] = [
        {"index": 2, "code": "UnknownAssignment", "message": "no\x00such"},
        {"index": 0, "code": "Duplicate"},
    ]
    data = {"accepted": 1, "rejected": refused}
    with raw.serving(json_answer(data)) as api, connect(api.address) as client:
        verdict = client.report_batch([REDEMPTION] * 3)

        assert api.heads[0].startswith("POST /v1/redemptions/batch HTTP/1.1")
        assert len(json.loads(api.bodies[0])["redemptions"]) == 3
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
def test_a_batch_may_be_accepted_whole(rejected: object) -> None:
    data = {"accepted": 3, "rejected": rejected}
    with raw.serving(json_answer(data)) as api, connect(api.address) as client:
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
def test_an_answer_that_does_not_account_for_the_batch_is_malformed(
    said: object,
) -> None:
    with (
        raw.serving(json_answer(said)) as api,
        connect(api.address) as client,
        pytest.raises(wire.Malformed),
    ):
        client.report_batch([REDEMPTION] * 3)


def once_only(contract: Contract) -> Contract:
    reported = contract.redemptions
    request = replace(reported.request, reference=())
    return replace(
        contract, redemptions=replace(reported, repeat_is_safe=False, request=request)
    )


def test_a_503_is_unanswered_if_a_report_must_not_be_repeated() -> None:
    with raw.serving(json_answer("later", status=503)) as api:
        with connect(api.address) as client, pytest.raises(wire.Unavailable):
            client.report(REDEMPTION)
        with (
            connect(api.address, once_only(CONTRACT)) as client,
            pytest.raises(wire.Unanswered),
        ):
            client.report(REDEMPTION)

        assert "reference" in json.loads(api.bodies[0])
        assert "reference" not in json.loads(api.bodies[1])


def test_a_tenant_may_have_no_batches_or_smaller_ones() -> None:
    reported = CONTRACT.redemptions
    single = replace(CONTRACT, redemptions=replace(reported, batch=""))
    small = replace(CONTRACT, redemptions=replace(reported, batch_limit=2))
    for contract, limit in ((CONTRACT, 1000), (single, 1), (small, 2)):
        with connect("http://127.0.0.1:9", contract) as client:
            assert client.batch_limit == limit
    for contract in (single, small):
        with (
            connect("http://127.0.0.1:9", contract) as client,
            pytest.raises(ValueError, match="such a batch"),
        ):
            client.report_batch([REDEMPTION] * 3)


def test_a_batch_may_be_a_bare_list_on_another_host() -> None:
    with raw.serving(json_answer({"accepted": 1, "rejected": []})) as api:
        reported = CONTRACT.redemptions
        reported = replace(
            reported,
            host=api.address,
            key_header="X-Other",
            request=replace(reported.request, batch=(), customer=("who", "id")),
        )
        with connect(
            "http://127.0.0.1:9", replace(CONTRACT, redemptions=reported)
        ) as client:
            client.report_batch([REDEMPTION])

        assert "X-Other: the-key" in api.heads[0]
        assert json.loads(api.bodies[0])[0]["who"] == {"id": "C234638"}


Call = Callable[[Promotions], object]


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda it: it.assignments("7311"), id="assignments"),
        pytest.param(lambda it: it.report(REDEMPTION), id="report"),
        pytest.param(lambda it: it.report_batch([REDEMPTION]), id="batch"),
    ],
)
def test_a_429_is_unavailable_with_its_message(call: Call) -> None:
    data = {
        "status": 429,
        "error": "Too Many Requests",
        "message": "Please retry later.",
    }
    with (
        raw.serving(json_answer(data, status=429)) as api,
        connect(api.address) as client,
        pytest.raises(wire.Unavailable) as caught,
    ):
        call(client)

    assert caught.value.status == 429
    assert "Please retry later." in caught.value.answer


def test_a_client_is_made_from_settings() -> None:
    with Promotions.from_settings() as client:
        assert client.contract == CONTRACT
        assert client.customers_per_call == 1000
    assert CONTRACT.vendor.time_zone is UTC
