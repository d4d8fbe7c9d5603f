"""Faults while campaigns run: processes killed or frozen, wrong and lost responses."""

from __future__ import annotations

import random
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from bench.chaos.processes import Process, descendants, send
from bench.chaos.target import SystemUnderTest
from promoportal.wire import WireError

# Seconds between two faults.
_PAUSE = (0.2, 1.2)
# The event type of a scheduled execution. Optimove sends one webhook per channel.
_SCHEDULED = 13
# Seconds for which a process is frozen: longer than any lease.
_FROZEN = 65.0

# Seconds by which a webhook is delayed.
_DELAYED = 4.0

_PLATFORM: list[dict[str, Any]] = [
    *({"kind": kind} for kind in ("lost_answer", "half_answer", "reset", "empty")),
    *({"kind": kind} for kind in ("error_after", "sentence", "sentence_after")),
    *({"kind": "error_before", "status": status} for status in (500, 502, 503)),
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
    _frozen: dict[int, float] = field(default_factory=dict)  # by pid: when it continues
    _stalled: list[socket.socket] = field(default_factory=list)
    _first: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - must be repeatable

    def run(self) -> None:
        """Inject faults for `seconds`, while campaigns run."""
        began = time.monotonic()
        campaigns = self._campaigns()
        # First each fault once, then at random.
        self._first = self._random.sample(list(_FAULTS), len(_FAULTS))
        while (now := time.monotonic() - began) < self.seconds:
            while campaigns and campaigns[0][0] <= now:
                self._execute(*campaigns.pop(0)[1:])
            self._inject()
            self._thaw(time.monotonic())
            time.sleep(self._random.uniform(*_PAUSE))
        for _, what, count in campaigns:
            self._execute(what, count)

    def end_faults(self) -> None:
        """End the faults; a process that is frozen stays frozen for the full time."""
        self.stage.clear_faults()
        time.sleep(_DELAYED + 1)
        self._read_webhooks()
        for caller in self._stalled:
            caller.close()

    @property
    def unannounced(self) -> list[str]:
        """Return the executions except scheduled ones with an accepted webhook."""
        return [one for one in self.occurrences if one not in self.announced]

    def thaw(self) -> bool:
        """Continue processes when their time is over; return whether none is frozen."""
        self._thaw(time.monotonic())
        return not self._frozen

    def _read_webhooks(self) -> None:
        """Add the scheduled executions with an accepted webhook to `announced`."""
        with suppress(WireError):
            for posted in self.stage.look("notices?last=20000"):
                if posted["event"] == _SCHEDULED and posted["status"] == 200:
                    values = {str(value) for value in posted["body"].values()}
                    self.announced |= values & set(self.occurrences)

    def _campaigns(self) -> list[tuple[float, str, int]]:
        """Return the time, kind and number of customers of each campaign, in order."""
        customers = self.rewards * 5 // 4
        large = [(part, "execute", customers // 6) for part in (0.0, 0.2, 0.4, 0.6)]
        rest = customers - 4 * (customers // 6)
        few = [(part / 10, "trigger", rest // 8 + 1) for part in range(8)]
        whole = [
            (part * self.seconds, what, count) for part, what, count in large + few
        ]
        return sorted(whole)

    def _execute(self, what: str, count: int) -> None:
        more = {"channels": [504, 505]} if what == "execute" else {"eligible": 0.8}
        done = self.stage.order(what, customers=count, **more)
        self.occurrences.append(str(done["occurrence"]))
        self.blows[f"campaign: {what}"] += 1

    # --- Faults -----------------------------------------------------------------------

    def _inject(self) -> None:
        name = self._next()
        label = _FAULTS[name][1](self)
        self.blows[label or f"missed: {name}"] += 1

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
        """Make the database stop immediately, without a checkpoint: it must recover."""
        pid = self.stage.database
        if pid is None or not send(pid, signal.SIGQUIT):
            return ""
        return "database: immediate shutdown"

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
        # The database is such a descendant, but has a fault of its own.
        victims = [one for one in processes if "postgres" not in one.command]
        return self._random.choice(victims) if victims else None

    def _host(self) -> int:
        return self._random.choice(self.stage.hosts)

    def _thaw(self, now: float) -> None:
        for pid, until in list(self._frozen.items()):
            if until <= now:
                send(pid, signal.SIGCONT)
                del self._frozen[pid]


Fault = Callable[[FaultTest], str]

# The relative frequency of each fault.
_FAULTS: Mapping[str, tuple[float, Fault]] = {
    "kill one": (4, FaultTest.kill_one),
    "kill cluster": (2, FaultTest.kill_cluster),
    "freeze": (0.6, FaultTest.freeze),
    "database": (0.5, FaultTest.stop_database),
    "platform": (6, FaultTest.fault_of_platform),
    "vendor": (3, FaultTest.fault_of_vendor),
    "notices": (3, FaultTest.fault_of_notices),
    "sandbox": (0.7, FaultTest.kill_sandbox),
    "stall": (0.5, FaultTest.stall),
}
