"""The content of a notification in any letter case, and bodies that are none."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from executions import notices
from executions.models import EventType
from executions.notices import (
    MAX_ID_LENGTH,
    Cancelled,
    Notice,
    Scheduled,
    Triggered,
    UnhandledEvent,
    Unreadable,
    WrongEventType,
)


def read(content: bytes, *, event_type: int) -> Notice | Unreadable:
    try:
        return notices.read(content, event_type=event_type)
    except Unreadable as error:
        return error


def body(**said: object) -> bytes:
    return json.dumps(said).encode()


@pytest.mark.parametrize(
    ("event_type", "said", "notice"),
    [
        pytest.param(
            13,
            body(
                EventTypeID=13,
                TimeStamp="2022-07-19 08:54",
                CampaignID=1111,
                ChannelID=505,
            ),
            Scheduled("1111"),
            id="13 as documented",
        ),
        pytest.param(
            13, body(campaignID="1111", channelId="505"), Scheduled("1111"), id="camel"
        ),
        pytest.param(13, body(CampaignID=1111), Scheduled("1111"), id="no channel"),
        pytest.param(
            13,
            body(EventTypeID=13, CampaignID=1, CustomerID="C1"),
            Scheduled("1"),
            id="13 that says so, with a customer",
        ),
        pytest.param(
            11,
            b'{"campaignID":"7311","channelID":505,"templateID":12,"customerID":'
            b'"C234638","promoCode":["WB23"],"notes":"{\\"duration\\":7}"}',
            Triggered("7311", "C234638"),
            id="11 as documented",
        ),
        pytest.param(
            11,
            body(CampaignID=7311, CustomerID=234638, event_device_type="iOS"),
            Triggered("7311", "234638"),
            id="11 in Pascal case, ids as numbers",
        ),
        pytest.param(
            11,
            body(campaignID=7311, customerID="C1", promoCode="A,B", notes=None),
            Triggered("7311", "C1"),
            id="codes as text, no notes",
        ),
        pytest.param(
            11,
            body(campaignID=7311, customerID="C1", promoCode={"x": [1]}, notes=[7]),
            Triggered("7311", "C1"),
            id="codes and notes of any kind",
        ),
        pytest.param(
            11,
            body(campaignID=7311, customerID="Ümlaut/\u4e2d 1"),
            Triggered("7311", "Ümlaut/\u4e2d 1"),
            id="a customer's id of any letters",
        ),
        pytest.param(4, body(CampaignID=7311), Cancelled("7311"), id="4"),
        pytest.param(
            4,
            body(EventTypeID="4", campaignId="7311"),
            Cancelled("7311"),
            id="4, camel",
        ),
    ],
)
def test_a_notification_is_read_in_any_letter_case(
    event_type: int, said: bytes, notice: Notice
) -> None:
    assert notices.read(said, event_type=event_type) == notice


@pytest.mark.parametrize("said", ["007311", "00"])
def test_an_occurrence_with_a_leading_zero_is_refused(
    said: str,
) -> None:
    refused = read(body(campaignID=said), event_type=13)

    assert isinstance(refused, Unreadable)
    assert "begins with a zero" in str(refused)


@pytest.mark.parametrize("event_type", [1, 2, 3, 5, 14])
def test_an_event_without_a_handler_has_a_name(event_type: int) -> None:
    notice = notices.read(body(EventTypeID=event_type), event_type=event_type)

    assert notice == UnhandledEvent(EventType(event_type).label)


@pytest.mark.parametrize(
    ("event_type", "said", "words"),
    [
        pytest.param(13, body(EventTypeID=11, CampaignID=1), "event 11", id="another"),
        pytest.param(
            13, body(campaignID=1, customerID="C1"), "like a triggered", id="11 at 13"
        ),
        pytest.param(
            11, body(CampaignID=1, ChannelID=505), "like a scheduled", id="13 at 11"
        ),
        pytest.param(4, body(EventTypeID=13, CampaignID=1), "event 13", id="13 at 4"),
        pytest.param(1, body(EventTypeID=2), "event 2", id="one of no consequence"),
    ],
)
def test_a_notification_at_the_wrong_listener_is_refused(
    event_type: int, said: bytes, words: str
) -> None:
    with pytest.raises(WrongEventType, match=words):
        notices.read(said, event_type=event_type)


def test_a_cancellation_at_the_listener_for_executions_is_refused() -> None:
    with pytest.raises(WrongEventType):
        notices.read(body(EventTypeID=4, CampaignID=1), event_type=13)


@pytest.mark.parametrize("depth", [10, 100, 400, 900, 990, 1_100, 100_000])
def test_any_depth_is_read_or_refused(depth: int) -> None:
    deep = b"[" * depth + b"]" * depth
    said = b'{"CampaignID":1,"x":' + deep + b',"X":' + deep + b"}"

    result = read(said, event_type=13)

    assert result == Scheduled("1") or "deep" in str(result)


@pytest.mark.parametrize(
    ("text", "occurrence"),
    [
        pytest.param("7311", "7311", id="a number"),
        pytest.param(" 7311 ", "7311", id="with white space"),
        pytest.param("x" * MAX_ID_LENGTH, "x" * MAX_ID_LENGTH, id="the longest"),
        pytest.param("x" * (MAX_ID_LENGTH + 1), None, id="too long"),
        pytest.param("", None, id="nothing"),
        pytest.param("73\x0011", None, id="not printable"),
    ],
)
def test_a_typed_id_must_be_one_that_optimove_could_have_sent(
    text: str, occurrence: str | None
) -> None:
    if occurrence:
        assert notices.occurrence_of(text) == occurrence
    else:
        with pytest.raises(Unreadable):
            notices.occurrence_of(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
NAMES = st.sampled_from(["CampaignID", "campaignid", "customerID", "EventTypeID"])


@settings(max_examples=200, deadline=None)
@given(
    said=st.dictionaries(NAMES | st.text(), JSON) | JSON,
    event_type=st.sampled_from(EventType.values),
)
def test_any_json_is_a_notification_or_unreadable(
    said: object, event_type: int
) -> None:
    result = read(json.dumps(said).encode(), event_type=event_type)

    texts = [text for text in vars(result).values() if isinstance(text, str)]
    if isinstance(result, Unreadable):
        texts = [str(result)]
        assert str(result).endswith(".")
    else:
        assert all(0 < len(text) <= MAX_ID_LENGTH for text in texts)
    assert all(text.isprintable() for text in texts)  # so it can be stored
