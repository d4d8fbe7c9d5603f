"""Faults while campaigns run: processes killed or frozen, wrong and lost responses."""

from __future__ import annotations

import json
import random
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from bench.chaos.campaign_plan import LAST, CampaignPlan
from bench.chaos.database_faults import DatabaseFaults
from bench.chaos.platform_record import PlatformRecord
from bench.chaos.processes import Process, descendants, send
from bench.chaos.staff import Staff
from bench.chaos.target import SystemUnderTest
from bench.chaos.throughput import rate, recovery
from promoportal.wire import WireError

# Seconds between two faults.
_PAUSE = (0.2, 1.2)
# The event type of a scheduled execution. Optimove sends one webhook per channel.
_SCHEDULED = 13
# Seconds in which the rate must recover after an outage without other faults.
RECOVERY = 30.0
_PACE = 4.0  # seconds between two orders of slow responses
# Seconds around a period in which accepted webhooks are sent again.
_MARGIN = 1.0
# Seconds for which a process is frozen: longer than any lease.
_FROZEN = 65.0

# Seconds by which a webhook is delayed.
_DELAYED = 4.0
_OK = 200

_PLATFORM: list[dict[str, Any]] = [
    *({"kind": kind} for kind in ("lost_answer", "half_answer", "reset", "empty")),
    *({"kind": kind} for kind in ("error_after", "sentence", "sentence_after")),
    *({"kind": "error_before", "status": status} for status in (422, 500, 502, 503)),
    {"kind": "too_many", "retry_after": 1},
    {"kind": "slow", "seconds": 3},
    {"kind": "drip", "seconds": 20},
    {"kind": "late_work", "seconds": 17},
]
_VENDOR: list[dict[str, Any]] = [
    *({"kind": kind} for kind in ("lost_answer", "half_answer", "reset", "empty")),
    *({"kind": kind} for kind in ("error_after", "sentence", "sentence_after")),
    *({"kind": "error_before", "status": status} for status in (500, 503)),
    {"kind": "too_many"},
    {"kind": "slow", "seconds": 3},
    {"kind": "drip", "seconds": 20},
    {"kind": "shifted_up", "seconds": 1},
    {"kind": "shifted_down", "seconds": 1},
    {"kind": "listed_late", "seconds": 3},
    {"kind": "wrong_total", "by": 2},
]
_NOTICES: list[dict[str, Any]] = [
    *({"kind": kind} for kind in ("lost", "doubled")),
    *({"kind": kind, "seconds": _DELAYED} for kind in ("delayed", "reordered")),
]


@dataclass
class FaultTest:
    """
    One fault test.

    The same seed draws the same faults and pauses. Which processes are affected depends
    on the processes that are running.
    """

    stage: SystemUnderTest
    seed: int
    rewards: int
    seconds: float
    blows: Counter[str] = field(default_factory=Counter)
    occurrences: list[str] = field(default_factory=list)
    announced: set[str] = field(
        default_factory=set
    )  # executions with an accepted webhook
    over_limit: str = ""  # the execution that is over the limits
    before: tuple[float, float] = (0.0, 0.0)  # as `time.time()`
    during: tuple[float, float] = (0.0, 0.0)
    after: tuple[float, float] = (0.0, 0.0)
    sent_again: int = 0  # webhooks that a promoted standby did not have
    _accepted: dict[str, dict[str, Any]] = field(default_factory=dict)
    # Seconds until the rate was back, after the outages without other faults.
    recovered: list[float | None] = field(default_factory=list)
    _replayed: int = 0  # periods whose webhooks were sent again
    _paced_until: float = 0.0
    _is_paced: bool = True
    _frozen: dict[int, float] = field(default_factory=dict)  # by pid: when it continues
    _stalled: list[socket.socket] = field(default_factory=list)
    _first: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - must be repeatable
        self.plan = CampaignPlan(self.rewards, self.seconds)
        self.record = PlatformRecord(self.stage.journal)
        self.staff = Staff(self.stage, self.seed)
        self.database = DatabaseFaults(self.stage.database, self._random)

    # --- Course -----------------------------------------------------------------------

    def run(self) -> None:
        """Run campaigns: first without faults, then with faults for `seconds`."""
        campaigns = self.plan.campaigns()
        while campaigns and campaigns[0][0] < 0:
            self._execute(*campaigns.pop(0)[1:])
        if self.seconds:
            self.before = self._measure()
            self._outage()
            self.staff.start()
        began, self.during = time.monotonic(), (time.time(), 0.0)
        # First each fault once, then at random.
        self._first = self._each_once()
        while (now := time.monotonic() - began) < self.seconds:
            while campaigns and campaigns[0][0] <= now:
                self._execute(*campaigns.pop(0)[1:])
            self._inject()
            self._pass(self._random.uniform(*_PAUSE))
        self.during = (self.during[0], time.time())
        for _, what, count in campaigns:
            if what != LAST:
                self._execute(what, count)

    def end_faults(self) -> None:
        """
        End the faults, and measure the recovery from one more outage.

        A process that is frozen stays frozen for the full time.
        """
        self.stage.clear_faults()
        self._paced_until = 0.0
        self._pass(_DELAYED + 1)
        while not (self.database.is_over and self.thaw()):
            self._pass(0.2)
        self._read_webhooks()
        for caller in self._stalled:
            caller.close()
        for _, what, count in self.plan.campaigns():
            if what == LAST:
                self._execute(what, count)
        if self.seconds and self._can_measure:
            self.after = self._measure()
            self._outage()
        self.staff.stop()
        self.stop_pacing()
        self._wait_for_webhook(self.occurrences[-1])

    def _wait_for_webhook(self, occurrence: str) -> None:
        """Wait some seconds until the portal has accepted a webhook of an execution."""
        until = time.monotonic() + _DELAYED + 1
        self._read_webhooks()
        while occurrence not in self.announced and time.monotonic() < until:
            self._pass(0.2)
            self._read_webhooks()

    @property
    def _can_measure(self) -> bool:
        """
        Return whether new rewards are sent at once.

        After a failover, they are possibly activated. If the platform is not
        idempotent, the portal asks first, or staff decide.
        """
        return "idempotent" in self.stage.capability or not self.database.lost

    def stop_pacing(self) -> None:
        self._is_paced = False
        self.stage.clear_faults()

    def step(self) -> None:
        """Continue what takes some time, except for what staff do."""
        self.database.step()
        self._send_again()
        self._thaw(time.monotonic())
        self._pace()

    def _pass(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while True:
            self.step()
            if (left := until - time.monotonic()) <= 0:
                break
            time.sleep(min(left, 0.2))

    def _measure(self) -> tuple[float, float]:
        """Wait for further credits; return a time without faults after the first."""
        until = time.monotonic() + 60
        count = len(self.record.credits())
        while len(self.record.credits()) == count and time.monotonic() < until:
            self._pass(0.1)
        self._pass(1)
        began = time.time()
        self._pass(self.plan.quiet)
        return began, time.time()

    def _outage(self) -> None:
        """Shut the database down without other faults; wait until the rate is back."""
        self.blows[self.database.shut_down()] += 1
        while not self.database.is_over:
            self._pass(0.1)
        until = time.monotonic() + RECOVERY
        while (found := self.recoveries()[-1][1]) is None and time.monotonic() < until:
            self._pass(0.2)
        self.recovered.append(found)

    def recoveries(self) -> list[tuple[str, float | None]]:
        """Return the kind of each outage, and the seconds until the rate was back."""
        times = self.record.times()
        before = rate(times, *self.before)
        outages = self.database.outages
        ends = [one.began for one in outages[1:]] + [time.time()]
        return [
            (
                "failover" if one.failover else "shutdown",
                recovery(times, one.ended, end, before),
            )
            for one, end in zip(outages, ends, strict=False)
        ]

    @property
    def has_staff(self) -> bool:
        """Return whether staff use the pages. They do not in a test without faults."""
        return bool(self.seconds)

    def _pace(self) -> None:
        """Make every response of the platform so slow that the campaigns last."""
        if not (
            self.seconds and self._is_paced and time.monotonic() > self._paced_until
        ):
            return
        seconds = self.plan.call_seconds
        order = {"side": "platform", "kind": "slow", "times": None, "lasts": _PACE * 2}
        with suppress(WireError):
            # Two durations, so that the calls do not all end at the same time.
            self.stage.order("faults", chance=0.5, seconds=seconds * 0.5, **order)
            self.stage.order("faults", seconds=seconds * 1.5, **order)
            self._paced_until = time.monotonic() + _PACE

    # --- Webhooks ---------------------------------------------------------------------

    @property
    def unannounced(self) -> list[str]:
        """Return the executions except scheduled ones with an accepted webhook."""
        return [one for one in self.occurrences if one not in self.announced]

    def thaw(self) -> bool:
        """Continue processes when their time is over; return whether none is frozen."""
        self.step()
        return not self._frozen

    def _read_webhooks(self) -> None:
        """Remember accepted webhooks, and the scheduled executions among them."""
        with suppress(WireError):
            for posted in self.stage.look("notices?last=20000"):
                if posted["status"] != _OK:
                    continue
                self._accepted[json.dumps(posted, sort_keys=True, default=str)] = posted
                if posted["event"] == _SCHEDULED:
                    values = {str(value) for value in posted["body"].values()}
                    self.announced |= values & set(self.occurrences)

    def _send_again(self) -> None:
        """Send again the webhooks whose acceptance a promoted standby does not have."""
        if len(self.database.lost) == self._replayed:
            return
        self._replayed = len(self.database.lost)
        since, until = self.database.lost[-1]
        self.staff.failed_over_at = time.monotonic()
        self._read_webhooks()
        for posted in list(self._accepted.values()):
            if since - _MARGIN <= posted["at"] <= until + _MARGIN:
                self.stage.announce(posted["event"], posted["body"])
                self.sent_again += 1

    def _execute(self, what: str, count: int) -> None:
        kind, order = self.plan.order(what, count)
        occurrence = str(self.stage.order(kind, **order)["occurrence"])
        self.occurrences.append(occurrence)
        if what == "over limit":
            self.over_limit = occurrence
        if what == "to cancel":
            self.staff.may_cancel.add(occurrence)
        self.blows[f"campaign: {'execute' if what == LAST else what}"] += 1

    # --- Faults -----------------------------------------------------------------------

    def _inject(self) -> None:
        is_first = bool(self._first)
        name = self._next()
        label = _FAULTS[name][1](self)
        if is_first and not label:
            self._first.insert(0, name)  # once more, after the others
        self.blows[label or f"missed: {name}"] += 1

    def _each_once(self) -> list[str]:
        """Return each fault once, the last one first; those of the database come first."""
        ordered = self._random.sample(list(_FAULTS), len(_FAULTS))
        return sorted(ordered, key=lambda name: name in _OF_DATABASE)

    def _next(self) -> str:
        if self._first:
            return self._first.pop()
        names = list(_FAULTS)
        [name] = self._random.choices(names, [_FAULTS[name][0] for name in names])
        return name

    def kill_one(self) -> str:
        """Kill a random process of a host, but not the supervisor or the database."""
        victim = self._any(descendants(self._host()))
        return self._kill(victim, "kill: one process")

    def kill_cluster(self) -> str:
        """Kill a child of a supervisor; its descendants end with it."""
        host = self._host()
        children = [one for one in descendants(host) if one.parent == host]
        return self._kill(self._any(children), "kill: a cluster, or the web")

    def freeze(self) -> str:
        """Stop a process for longer than a lease."""
        victim = self._any(descendants(self._host()))
        if victim is None or not send(victim.pid, signal.SIGSTOP):
            return ""
        self._frozen[victim.pid] = time.monotonic() + _FROZEN
        return "freeze: one process"

    def stop_database(self) -> str:
        return self.database.shut_down()

    def fail_over(self) -> str:
        """Let the standby fall behind and take over; lose webhooks, too."""
        if label := self.database.fall_behind():
            self._execute("trigger", self.plan.few)
        return label

    def kill_backends(self) -> str:
        return self.database.kill_backends()

    def use_up_connections(self) -> str:
        return self.database.use_up_connections()

    def kill_sandbox(self) -> str:
        """Kill the sandbox and start it again, with its data."""
        self._read_webhooks()
        self.stage.kill_sandbox()
        return "kill: the sandbox"

    def stall(self) -> str:
        """Begin a request to the portal, and never complete it."""
        with suppress(OSError):
            address = ("127.0.0.1", self.stage.portal_port)
            caller = socket.create_connection(address, timeout=5)
            caller.sendall(b"POST /webhooks/optimove/x/ HTTP/1.1\r\nHost: ")
            self._stalled.append(caller)
            return "web: a caller that stalls"
        return ""

    def fault_of_platform(self) -> str:
        return self._order("platform", _PLATFORM, most=20)

    def fault_of_vendor(self) -> str:
        return self._order("promotions", _VENDOR, most=3)

    def fault_of_notices(self) -> str:
        return self._order("notices", _NOTICES, most=20)

    def _order(self, side: str, faults: list[dict[str, Any]], most: int) -> str:
        fault = self._random.choice(faults)
        times = self._random.randint(1, most)
        try:
            self.stage.order("faults", side=side, times=times, **fault)
        except WireError:
            return ""
        return f"{side}: {fault['kind']}"

    def _kill(self, victim: Process | None, label: str) -> str:
        if victim is None or not send(victim.pid, signal.SIGKILL):
            return ""
        self._frozen.pop(victim.pid, None)
        return label

    def _any(self, processes: list[Process]) -> Process | None:
        return self._random.choice(processes) if processes else None

    def _host(self) -> int:
        return self._random.choice(self.stage.hosts)

    def _thaw(self, now: float) -> None:
        for pid, until in list(self._frozen.items()):
            if until <= now:
                send(pid, signal.SIGCONT)
                del self._frozen[pid]


Fault = Callable[[FaultTest], str]

# These come first, so that also a short test has them.
_OF_DATABASE = {"database", "failover", "backends", "connections"}
# The relative frequency of each fault.
_FAULTS: Mapping[str, tuple[float, Fault]] = {
    "kill one": (4, FaultTest.kill_one),
    "kill cluster": (2, FaultTest.kill_cluster),
    "freeze": (0.6, FaultTest.freeze),
    "database": (0.5, FaultTest.stop_database),
    "failover": (0.3, FaultTest.fail_over),
    "backends": (1.5, FaultTest.kill_backends),
    "connections": (0.5, FaultTest.use_up_connections),
    "platform": (6, FaultTest.fault_of_platform),
    "vendor": (3, FaultTest.fault_of_vendor),
    "notices": (3, FaultTest.fault_of_notices),
    "sandbox": (0.7, FaultTest.kill_sandbox),
    "stall": (0.5, FaultTest.stall),
}
