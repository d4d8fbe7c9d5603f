from __future__ import annotations

import socket
import threading
import time
from typing import Any

import pytest

from promoportal import sandbox
from promoportal.sandbox import Fault
from tests.sandbox.conftest import RecordingListener


def received(listener: RecordingListener, name: str) -> list[Any]:
    return [notice.get(name) for notice in listener.received]


def test_an_execution_is_announced_once_per_channel(
    box: sandbox.SandboxHandle, listener: RecordingListener
) -> None:
    box.register(13, listener.url)

    occurrence = box.execute(channels=[504, 505])
    box.wait_for_notices(2)

    assert sorted(received(listener, "ChannelID")) == [504, 505]
    assert set(received(listener, "CampaignID")) == {int(occurrence)}
    assert set(received(listener, "EventTypeID")) == {13}


def test_a_listener_for_one_channel_receives_only_its_webhooks(
    box: sandbox.SandboxHandle, listener: RecordingListener
) -> None:
    box.register(13, listener.url, channel=504)

    box.execute(channels=[504, 505])
    box.wait_for_notices(1)

    assert received(listener, "ChannelID") == [504]


def test_an_execution_can_be_announced_later_and_again(
    box: sandbox.SandboxHandle, listener: RecordingListener
) -> None:
    box.register(13, listener.url)
    occurrence = box.execute(announce=False)

    box.announce(occurrence)
    box.announce(occurrence, channels=[511])
    box.wait_for_notices(2)

    assert sorted(received(listener, "ChannelID")) == [505, 511]


def test_each_trigger_has_one_customer_in_one_of_two_casings(
    box: sandbox.SandboxHandle, listener: RecordingListener
) -> None:
    box.register(11, listener.url)

    occurrence = box.trigger(customers=["C1", "C2"])
    box.wait_for_notices(2)

    camel, pascal = sorted(listener.received, key=lambda notice: "CampaignID" in notice)
    assert (camel["customerID"], camel["promoCode"]) == ("C1", ["WB23"])
    assert (pascal["CustomerID"], pascal["PromoCode"]) == ("C2", "WB23")
    assert camel["campaignID"] == pascal["CampaignID"] == occurrence
    assert "EventTypeID" not in camel | pascal


@pytest.mark.parametrize(
    ("casing", "name"), [("camel", "customerID"), ("pascal", "CustomerID")]
)
def test_the_casing_can_be_chosen(
    box: sandbox.SandboxHandle, listener: RecordingListener, casing: Any, name: str
) -> None:
    box.register(11, listener.url)

    box.trigger(customers=2, casing=casing)
    box.wait_for_notices(2)

    assert sorted(received(listener, name)) == ["C000001", "C000002"]


def test_triggers_join_an_occurrence_and_assign_once(
    box: sandbox.SandboxHandle,
) -> None:
    occurrence = box.trigger(customers=2)
    box.trigger(customers=3, occurrence=occurrence)

    box.trigger(customers=["C000001", "C9", "C9"], occurrence=occurrence)

    customers = [row["customerId"] for row in box.rows(occurrence)]  # type: ignore[index]
    assert customers == ["C000001", "C000002", "C000003", "C000004", "C000005", "C9"]


def test_the_list_may_lag_behind_the_webhook(box: sandbox.SandboxHandle) -> None:
    occurrence = box.trigger(customers=1, listed_after=0.05)

    assert box.rows(occurrence) == []
    time.sleep(0.1)
    assert len(box.rows(occurrence)) == 1


def test_a_cancellation_does_not_change_the_list(
    box: sandbox.SandboxHandle, listener: RecordingListener
) -> None:
    box.register(4, listener.url)
    occurrence = box.execute(customers=1, eligible=1)

    box.cancel(occurrence)
    box.wait_for_notices(1)

    assert received(listener, "CampaignID") == [int(occurrence)]
    assert "ChannelID" not in listener.received[0]
    assert box.books(occurrence).vendor.statuses == {"Assigned": 1}


def test_a_cancellation_may_show_in_the_list(box: sandbox.SandboxHandle) -> None:
    occurrence = box.execute(customers=1, eligible=1)

    box.cancel(occurrence, relist=True)

    assert box.books(occurrence).vendor.statuses == {"Cancelled": 1}


def test_a_listener_that_is_down_does_not_affect_others(
    box: sandbox.SandboxHandle, listener: RecordingListener
) -> None:
    box.register(13, "http://127.0.0.1:9/closed/", channel=505)
    box.register(13, listener.url)

    box.execute()
    posted = box.wait_for_notices(2)

    assert sorted(bool(one.problem) for one in posted) == [False, True]
    assert len(listener.received) == 1


def test_any_answer_is_recorded_and_nothing_is_repeated(
    box: sandbox.SandboxHandle, listener: RecordingListener
) -> None:
    listener.answers = 503
    box.register(13, listener.url)

    box.execute()
    (posted,) = box.wait_for_notices(1)

    assert posted.status == 503
    assert "secret" not in posted.to
    assert len(listener.received) == 1


@pytest.mark.parametrize(("kind", "count"), [("lost", 0), ("doubled", 2)])
def test_a_webhook_can_be_lost_or_doubled(
    box: sandbox.SandboxHandle, listener: RecordingListener, kind: str, count: int
) -> None:
    box.register(13, listener.url)
    box.order(Fault(kind=kind, side="notices", route="13"))

    box.execute()
    box.wait_for_notices(count)

    assert len(listener.received) == count


def test_a_webhook_can_be_delayed(
    box: sandbox.SandboxHandle, listener: RecordingListener
) -> None:
    box.register(13, listener.url)
    box.order(Fault(kind="delayed", side="notices", seconds=0.1))

    box.execute()
    time.sleep(0.05)
    early = len(listener.received)
    box.wait_for_notices(1)

    assert (early, len(listener.received)) == (0, 1)


def test_a_webhook_can_be_overtaken_by_the_next(
    box: sandbox.SandboxHandle, listener: RecordingListener
) -> None:
    box.register(13, listener.url)
    box.order(Fault(kind="reordered", side="notices", seconds=5))

    first, second = box.execute(), box.execute()
    box.wait_for_notices(2)

    assert received(listener, "CampaignID") == [int(second), int(first)]


def test_a_reordered_webhook_without_a_successor_is_sent_alone(
    box: sandbox.SandboxHandle, listener: RecordingListener
) -> None:
    box.register(13, listener.url)
    box.order(Fault(kind="reordered", side="notices", seconds=0.05))

    box.execute()

    assert len(box.wait_for_notices(1)) == 1


def test_a_fault_on_triggers_does_not_strike_other_webhooks(
    box: sandbox.SandboxHandle, listener: RecordingListener
) -> None:
    box.register(13, listener.url)
    box.order(Fault(kind="lost", side="notices", route="11"))

    box.execute()

    assert len(box.wait_for_notices(1)) == 1


def test_hundreds_of_triggers_are_all_delivered(
    box: sandbox.SandboxHandle, listener: RecordingListener
) -> None:
    box.register(11, listener.url)

    box.trigger(customers=300, casing="camel")
    box.wait_for_notices(300, timeout=30)

    assert len(set(received(listener, "customerID"))) == 300


def test_a_reset_cancels_pending_webhooks(
    box: sandbox.SandboxHandle, listener: RecordingListener
) -> None:
    box.register(13, listener.url)
    box.order(Fault(kind="delayed", side="notices", seconds=0.05))
    box.execute()

    box.reset()
    time.sleep(0.1)

    assert not listener.received
    assert not box.notices


def test_a_listener_that_hangs_up_does_not_block_other_webhooks(
    box: sandbox.SandboxHandle, listener: RecordingListener
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as rude:
        rude.settimeout(5)
        thread = threading.Thread(target=_hang_up, args=(rude,))
        thread.start()
        box.register(13, f"http://127.0.0.1:{rude.getsockname()[1]}/", channel=504)
        box.register(13, listener.url, channel=505)

        box.execute(channels=[504, 505])

        posted = box.wait_for_notices(2)
        thread.join()
    assert sorted(str(one.status) for one in posted) == ["200", "None"]


def _hang_up(rude: socket.socket) -> None:
    connection, _ = rude.accept()
    connection.settimeout(5)
    connection.recv(65536)
    connection.close()
