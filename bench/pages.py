"""
Benchmark of admin pages with a million assignments. Floor: ten thousand.

A page's figure is the CPU time of this process and of its database session. It is the
minimum of several requests, because other load on the machine can only increase it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.utils.timezone import localdate

from bench import filling
from bench.stage import Measured, Stage
from executions.models import Delivery, Execution, Trigger
from promoportal.admin.links import list_of, page_of
from promoportal.dashboard import customers
from redemptions.models import Redemption, Report
from rewards.models import Activation, Assignment, Retrial, Retried

FEW = 10_000
# Above this ratio a page's time grows with the number of rows.
MAX_RATIO = 2.0
_TIMES = 5


def measure(_stage: Stage, size: int) -> Measured:
    settings.DEBUG = False  # DEBUG keeps every query in memory
    user = User.objects.create_superuser("bench")
    few, many = _over(FEW, user), _over(size, user)
    for name, slow in many.items():
        ratio = slow / few[name]
        mark = "  !" if ratio > MAX_RATIO else ""
        line = f"{name:<50} {1e3 * few[name]:7.1f} ms {1e3 * slow:7.1f} ms {ratio:5.1f}"
        print(f"{line}{mark}", file=sys.stderr)  # noqa: T201 - the output
    floor = f"the same over {FEW:,} assignments and not {size:,}"
    return Measured("pages", len(few), sum(many.values()), sum(few.values()), floor)


def _over(count: int, user: User) -> dict[str, float]:
    """Return the seconds of CPU time for each page over `count` assignments."""
    filling.fill(count, user)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
        # Only this session is measured, so no parallel workers may do its work.
        cursor.execute("SET max_parallel_workers_per_gather = 0")
    client = Client(SERVER_NAME="127.0.0.1")
    client.force_login(user)
    return {name: _least(client, *call) for name, *call in _calls(count)}


def _least(client: Client, address: str, sent: Any = None) -> float:
    def ask() -> None:
        answer: Any = client.post(address, sent) if sent else client.get(address)
        assert answer.status_code == 200, (address, answer)
        # From an export, read only the first lines.
        if answer.streaming:
            assert list(islice(answer.streaming_content, 1_000))

    ask()
    return min(_cpu_time(ask) for _ in range(_TIMES))


def _cpu_time(work: Callable[[], None]) -> float:
    """Return the seconds of CPU time that `work` takes, here and in the database."""
    began = _used()
    work()
    return _used() - began


def _used() -> float:
    """Return the CPU time of this process and of its session on the same machine."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    in_session = int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
    return time.process_time() + in_session


def _calls(count: int) -> Iterator[tuple[Any, ...]]:
    """Yield the name of each page, its address, and the fields of a POST, if any."""
    yield "overview", "/admin/"
    yield from _lists(count)
    yield from _pages(count)
    export, retry, held = {"export": "csv"}, {"retry_all": "ask"}, {_STATE: "HELD"}
    some_days = list_of(Activation, **_DAYS)
    yield "assignments as CSV, the first", list_of(Assignment), export
    yield "activations of some days as CSV, the first", some_days, export
    yield "redemptions as CSV, the first", list_of(Redemption), export
    of_execution = list_of(Assignment, execution=1, **held)
    of_promotion = list_of(Assignment, promotion=1, **held)
    yield "retry of one execution, preview", of_execution, retry
    yield "bulk retry, preview", list_of(Assignment, **held), retry
    yield "retry of a promotion, preview", of_promotion, retry


def _lists(count: int) -> Iterator[tuple[str, str]]:
    for model, narrowings in _NARROWED.items():
        name = str(model._meta.verbose_name_plural)
        yield name, list_of(model)
        yield f"{name}: in the middle", list_of(model, older=count // 100)
        yield f"{name}: back from the oldest", list_of(model, newer=7)
        for narrowed in narrowings:
            label = ", ".join(f"{key} {value}" for key, value in narrowed.items())
            yield f"{name}: {label.replace('__exact', '')}", list_of(model, **narrowed)


_STATE, _WHY = "state__exact", "reason__exact"
_LARGEST, _OLD = filling.LARGEST, 1
# The days of the largest execution, and days near them.
_DAYS = {
    "from": f"{localdate() - timedelta(days=33):%Y-%m-%d}",
    "to": f"{localdate() - timedelta(days=29):%Y-%m-%d}",
}
_NARROWED: dict[Any, list[dict[str, Any]]] = {
    Assignment: [
        *({_STATE: state} for state in ("OWED", "UNCERTAIN", "ACTIVE", "HELD", "VOID")),
        *({_WHY: reason} for reason in ("REFUSED", "NOT_ASSIGNED", "WRITTEN_OFF")),
        {_STATE: "VOID", _WHY: "WRITTEN_OFF"},
        {"doubtful__exact": 1},
        {"cancelled_too_late__exact": 1},
        *({"needs": kind} for kind in ("held", "in_doubt", "proposed", "unanswered")),
        {"execution": _OLD},
        {"execution": _LARGEST},
        {"execution": _OLD, _STATE: "ACTIVE"},
        {"execution": _LARGEST, _STATE: "VOID"},
        {"execution": _LARGEST, _STATE: "ACTIVE"},
        {"execution": _LARGEST, _STATE: "HELD", _WHY: "DIFFERS"},
        {"execution": _LARGEST, _STATE: "UNCERTAIN"},
        {"execution": _LARGEST, "tier": "Diamond"},
        {"execution": _LARGEST, **_DAYS},
        {"execution": _LARGEST, _STATE: "ACTIVE", **_DAYS},
        {"campaign": 1},
        {"campaign": 1, _STATE: "HELD"},
        {"campaign": 1, **_DAYS},
        _DAYS,
        {"days": "week"},
        {_STATE: "HELD", **_DAYS},
        {"promotion": 1},
        {"promotion": 1, _STATE: "HELD"},
        {"q": "C0000007"},
        {"q": "nobody"},
    ],
    Activation: [_DAYS, {"days": "week"}],
    Redemption: [
        *({_STATE: state} for state in ("WAITING", "REPORTED", "HELD", "WRITTEN_OFF")),
        {_WHY: "REFUSED"},
        {"reported": "no"},
        {"reported": "yes"},
        {"execution": _LARGEST},
        {"campaign": 1},
        _DAYS,
        {"execution": _LARGEST, "reported": "no"},
        {"execution": _LARGEST, _STATE: "REPORTED"},
        {"execution": _OLD, _STATE: "WAITING"},
        {"report": 3},
        {"needs": "unanswered"},
        {"q": "C0000007"},
    ],
    Delivery: [
        *({_STATE: state} for state in ("UNREAD", "READ", "HELD")),
        {_WHY: "UNREADABLE"},
        {"execution": filling.TRIGGERED},
        {"listener": 1},
        {"q": 1005},
    ],
    Trigger: [
        *({_STATE: state} for state in ("WAITING", "DONE", "HELD")),
        {"execution": filling.TRIGGERED},
        {"q": "T77"},
    ],
    Report: [{"outcome__exact": "REFUSED"}, {"is_batch__exact": 0}],
    Execution: [{_STATE: "ACTIVATING"}],
    Retrial: [],
    Retried: [
        {"retrial": 1},
        *({"retrial": 1, "left_alone": shown} for shown in ("no", "yes")),
    ],
    LogEntry: [{"q": 77}],
}


def _pages(count: int) -> Iterator[tuple[str, str]]:
    yield "customer", customers.page_of("C0000007")
    yield "customers, by a beginning", "/admin/customers/?q=C00000"
    yield "customers, no match", "/admin/customers/?q=nobody"
    yield "assignment, reported", page_of(Assignment(pk=count // 2 + 18))
    yield "assignment, needs review", page_of(Assignment(pk=8))
    yield "redemption", page_of(Redemption(pk=count // 2 + 18))
    yield "execution, the largest", page_of(Execution(pk=_LARGEST))
    yield "execution, in progress", page_of(Execution(pk=filling.EXECUTIONS))
    yield "delivery", page_of(Delivery(pk=77))
    yield "report", page_of(Report(pk=7))
    yield "retrial", page_of(Retrial(pk=1))
