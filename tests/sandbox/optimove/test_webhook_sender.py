from __future__ import annotations

import socket
import threading
import time
from typing import Any

import pytest

from promoportal import sandbox
from promoportal.sandbox import Fault
from tests.sandbox.conftest import Ear


def heard(ear: Ear, name: str) -> list[Any]:
    return [notice.get(name) for notice in ear.heard]


def test_an_execution_is_announced_once_per_channel(
    box: sandbox.SandboxHandle, ear: Ear
) -> None:
    box.register(13, ear.url)

    occurrence = box.execute(channels=[504, 505])
    box.wait_for_notices(2)

    assert sorted(heard(ear, "ChannelID")) == [504, 505]
    assert set(heard(ear, "CampaignID")) == {int(occurrence)}
    assert set(heard(ear, "EventTypeID")) == {13}


def test_a_listener_for_one_channel_hears_of_that_one(
    box: sandbox.SandboxHandle, ear: Ear
) -> None:
    box.register(13, ear.url, channel=504)

    box.execute(channels=[504, 505])
    box.wait_for_notices(1)

    assert heard(ear, "ChannelID") == [504]


def test_an_execution_may_go_unannounced_and_be_announced_again(
    box: sandbox.SandboxHandle, ear: Ear
) -> None:
    box.register(13, ear.url)
    occurrence = box.execute(announce=False)

    box.announce(occurrence)
    box.announce(occurrence, channels=[511])
    box.wait_for_notices(2)

    assert sorted(heard(ear, "ChannelID")) == [505, 511]


def test_each_trigger_is_told_of_one_customer_in_two_casings(
    box: sandbox.SandboxHandle, ear: Ear
) -> None:
    box.register(11, ear.url)

    occurrence = box.trigger(["C1", "C2"])
    box.wait_for_notices(2)

    camel, pascal = sorted(ear.heard, key=lambda notice: "CampaignID" in notice)
    assert (camel["customerID"], camel["promoCode"]) == ("C1", ["WB23"])
    assert (pascal["CustomerID"], pascal["PromoCode"]) == ("C2", "WB23")
    assert camel["campaignID"] == pascal["CampaignID"] == occurrence
    assert "EventTypeID" not in camel | pascal


@pytest.mark.parametrize(
    ("casing", "name"), [("camel", "customerID"), ("pascal", "CustomerID")]
)
def test_the_casing_can_be_ordered(
    box: sandbox.SandboxHandle, ear: Ear, casing: Any, name: str
) -> None:
    box.register(11, ear.url)

    box.trigger(2, casing=casing)
    box.wait_for_notices(2)

    assert sorted(heard(ear, name)) == ["C000001", "C000002"]


def test_triggers_join_an_occurrence_and_give_once(box: sandbox.SandboxHandle) -> None:
    occurrence = box.trigger(2)
    box.trigger(3, occurrence=occurrence)

    box.trigger(["C000001", "C9", "C9"], occurrence=occurrence)

    customers = [row["customerId"] for row in box.rows(occurrence)]  # type: ignore[index]
    assert customers == ["C000001", "C000002", "C000003", "C000004", "C000005", "C9"]


def test_the_list_may_lag_behind_the_notice(box: sandbox.SandboxHandle) -> None:
    occurrence = box.trigger(1, listed_after=0.05)

    assert box.rows(occurrence) == []
    time.sleep(0.1)
    assert len(box.rows(occurrence)) == 1


def test_a_cancellation_is_all_that_tells_of_it(
    box: sandbox.SandboxHandle, ear: Ear
) -> None:
    box.register(4, ear.url)
    occurrence = box.execute(customers=1, eligible=1)

    box.cancel(occurrence)
    box.wait_for_notices(1)

    assert heard(ear, "CampaignID") == [int(occurrence)]
    assert "ChannelID" not in ear.heard[0]
    assert box.books(occurrence).vendor.statuses == {"Assigned": 1}


def test_a_cancellation_may_show_in_the_list(box: sandbox.SandboxHandle) -> None:
    occurrence = box.execute(customers=1, eligible=1)

    box.cancel(occurrence, relist=True)

    assert box.books(occurrence).vendor.statuses == {"Cancelled": 1}


def test_a_listener_that_is_down_harms_no_one_else(
    box: sandbox.SandboxHandle, ear: Ear
) -> None:
    box.register(13, "http://127.0.0.1:9/closed/", channel=505)
    box.register(13, ear.url)

    box.execute()
    posted = box.wait_for_notices(2)

    assert sorted(bool(one.problem) for one in posted) == [False, True]
    assert len(ear.heard) == 1


def test_any_answer_is_recorded_and_nothing_is_repeated(
    box: sandbox.SandboxHandle, ear: Ear
) -> None:
    ear.answers = 503
    box.register(13, ear.url)

    box.execute()
    (posted,) = box.wait_for_notices(1)

    assert posted.status == 503
    assert "secret" not in posted.to
    assert len(ear.heard) == 1


@pytest.mark.parametrize(("kind", "count"), [("lost", 0), ("doubled", 2)])
def test_a_notice_can_be_lost_or_doubled(
    box: sandbox.SandboxHandle, ear: Ear, kind: str, count: int
) -> None:
    box.register(13, ear.url)
    box.order(Fault(kind=kind, side="notices", route="13"))

    box.execute()
    box.wait_for_notices(count)

    assert len(ear.heard) == count


def test_a_notice_can_be_delayed(box: sandbox.SandboxHandle, ear: Ear) -> None:
    box.register(13, ear.url)
    box.order(Fault(kind="delayed", side="notices", seconds=0.1))

    box.execute()
    time.sleep(0.05)
    early = len(ear.heard)
    box.wait_for_notices(1)

    assert (early, len(ear.heard)) == (0, 1)


def test_a_notice_can_be_overtaken_by_the_next(
    box: sandbox.SandboxHandle, ear: Ear
) -> None:
    box.register(13, ear.url)
    box.order(Fault(kind="reordered", side="notices", seconds=5))

    first, second = box.execute(), box.execute()
    box.wait_for_notices(2)

    assert heard(ear, "CampaignID") == [int(second), int(first)]


def test_a_notice_with_no_other_to_let_by_goes_alone(
    box: sandbox.SandboxHandle, ear: Ear
) -> None:
    box.register(13, ear.url)
    box.order(Fault(kind="reordered", side="notices", seconds=0.05))

    box.execute()

    assert len(box.wait_for_notices(1)) == 1


def test_a_fault_on_triggers_leaves_the_others_alone(
    box: sandbox.SandboxHandle, ear: Ear
) -> None:
    box.register(13, ear.url)
    box.order(Fault(kind="lost", side="notices", route="11"))

    box.execute()

    assert len(box.wait_for_notices(1)) == 1


def test_hundreds_of_triggers_are_all_told(
    box: sandbox.SandboxHandle, ear: Ear
) -> None:
    box.register(11, ear.url)

    box.trigger(300, casing="camel")
    box.wait_for_notices(300, timeout=30)

    assert len(set(heard(ear, "customerID"))) == 300


def test_a_reset_stops_what_was_on_its_way(
    box: sandbox.SandboxHandle, ear: Ear
) -> None:
    box.register(13, ear.url)
    box.order(Fault(kind="delayed", side="notices", seconds=0.05))
    box.execute()

    box.reset()
    time.sleep(0.1)

    assert not ear.heard
    assert not box.notices


def test_a_listener_that_hangs_up_keeps_no_other_notice(
    box: sandbox.SandboxHandle, ear: Ear
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as rude:
        rude.settimeout(5)
        thread = threading.Thread(target=_hang_up, args=(rude,))
        thread.start()
        box.register(13, f"http://127.0.0.1:{rude.getsockname()[1]}/", channel=504)
        box.register(13, ear.url, channel=505)

        box.execute(channels=[504, 505])

        posted = box.wait_for_notices(2)
        thread.join()
    assert sorted(str(one.status) for one in posted) == ["200", "None"]


def _hang_up(rude: socket.socket) -> None:
    connection, _ = rude.accept()
    connection.settimeout(5)
    connection.recv(65536)
    connection.close()
