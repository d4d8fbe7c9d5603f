"""
Actors: jobs in threads that run one at a time, from point to point.

An actor reaches a point at a crash point of the portal, before a transaction, and when
an integration has its request. There it waits until the explorer lets it continue. Between
two points it runs alone. So a schedule is the list of the explorer's choices.

No actor waits inside a transaction, so no actor waits for the lock of another one.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from concurrent import futures
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.db import connection, connections
from django.db.backends.signals import connection_created
from psycopg.pq import TransactionStatus

from promoportal.runtime import crash_points

# Real seconds within which an actor reaches its next point.
_PATIENCE = 60.0
# Real seconds between two looks at a thread.
_POLL = 0.001


class Killed(BaseException):
    """Ends the thread of a killed actor. No code of the portal catches it."""


class Stuck(Exception):
    """An actor did not reach a point in time."""


@dataclass(eq=False)
class Actor:
    """One job, and the point where it waits."""

    name: str
    work: Callable[[], object]
    token: str = field(default_factory=lambda: uuid4().hex)
    is_coarse: bool = False  # it waits before no transaction
    at: str = ""
    is_far: bool = False  # it waits for an integration
    is_done: bool = False
    is_dead: bool = False
    is_dirty: bool = False  # it read or changed rows since its last point
    error: BaseException | None = None
    lane: _Lane | None = None
    answer: str = ""  # the choice for the integration that has its request
    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))


class _Lane:
    """A thread with a database session, which runs one actor after the other."""

    def __init__(self, turns: Turns, number: int) -> None:
        self.turns = turns
        self.session: Any = None
        self.pid = 0
        self._waiting = threading.Semaphore(0)
        self._actor: Actor | None = None
        self._thread = threading.Thread(
            target=self._run, name=f"explorer-{number}", daemon=True
        )
        self._thread.start()

    def begin(self, actor: Actor) -> None:
        self._actor, actor.lane = actor, self
        self._waiting.release()

    def waits_for_calls(self) -> bool:
        """Return whether the thread is in `concurrent.futures.wait`."""
        frame = sys._current_frames().get(self._thread.ident or 0)
        while frame:
            if frame.f_code is futures.wait.__code__:
                return True
            frame = frame.f_back
        return False

    def end(self) -> None:
        self._actor = None
        self._waiting.release()
        self._thread.join(_PATIENCE)

    def _run(self) -> None:
        connection.execute_wrappers.append(self.turns.before_statement)
        while True:
            self._waiting.acquire()
            actor = self._actor
            if actor is None:
                break
            self._carry_out(actor)
        connections.close_all()

    def _carry_out(self, actor: Actor) -> None:
        self.turns.own.actor = actor
        try:
            actor.work()
        except Killed:
            connection.close()
        except Exception as error:  # noqa: BLE001 - the explorer reports it
            actor.error = error
            connection.close()  # its session may have ended
        finally:
            self.turns.own.actor = None
            actor.is_done = True
            self.turns.arrived.release()


class Turns:
    """The actors of one process: one runs, the others wait at their points."""

    def __init__(self) -> None:
        self.own = threading.local()
        self.arrived = threading.Semaphore(0)
        self.running: Actor | None = None
        self.by_token: dict[str, Actor] = {}  # by the token for the platform
        self._lanes: list[_Lane] = []
        self._free: list[_Lane] = []

    def __enter__(self) -> Turns:
        crash_points.observe(self.at_crash_point)
        connection_created.connect(self._connected)
        return self

    def __exit__(self, *_: object) -> None:
        crash_points.observe(None)
        connection_created.disconnect(self._connected)
        for lane in self._lanes:
            lane.end()

    # --- The explorer's side ----------------------------------------------------------

    def start(self, actor: Actor) -> None:
        """Let a new actor run to its first point, or to its end."""
        if not self._free:
            self._lanes.append(_Lane(self, len(self._lanes) + 1))
            self._free.append(self._lanes[-1])
        self.running = actor
        self.by_token[actor.token] = actor
        # A job reads its settings before its first point.
        settings.PLATFORM_TOKEN = actor.token
        self._free.pop().begin(actor)
        self._await(actor)

    def proceed(self, actor: Actor, answer: str = "") -> None:
        """Let an actor run from the point where it waits to its next one."""
        actor.answer, actor.is_dirty = answer, False
        self.running = actor
        actor.go.release()
        self._await(actor)

    def kill(self, actor: Actor) -> None:
        """End the actor's session, as the end of its process would; end its thread."""
        actor.is_dead = True
        self.end_session(actor)
        self.proceed(actor)

    def end_session(self, actor: Actor) -> None:
        """End the actor's session at the database, but not the actor."""
        assert actor.lane is not None
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [actor.lane.pid])

    def _await(self, actor: Actor) -> None:
        if not self.arrived.acquire(timeout=_PATIENCE):
            raise Stuck(f"{actor.name} reaches no point after {actor.at!r}.")
        self.running = None
        if actor.is_done and actor.lane is not None:
            self._free.append(actor.lane)
            actor.lane = None
            del self.by_token[actor.token]

    def await_caller(self, actor: Actor) -> bool:
        """
        Wait until the actor's job waits for its calls; return False if it was killed.

        A job may begin a call in another thread, and then store the result of the call
        before. Only one of these threads may go on at a time.
        """
        while actor.lane and not actor.is_dead:
            if actor.lane.waits_for_calls():
                return True
            time.sleep(_POLL)
        return False

    # --- The actors' side -------------------------------------------------------------

    @property
    def current(self) -> Actor | None:
        """Return the actor of this thread."""
        return getattr(self.own, "actor", None)

    def reach(self, actor: Actor, where: str, *, is_far: bool = False) -> str:
        """
        Wait at a point, and return the explorer's choice.

        :raises Killed: if the actor is killed here
        """
        actor.at, actor.is_far = where, is_far
        self.arrived.release()
        actor.go.acquire()
        if actor.is_dead:
            raise Killed
        return actor.answer

    def at_crash_point(self, point: crash_points.Point) -> None:
        if (actor := self.current) and actor.is_dirty:
            self.reach(actor, str(point))

    def before_statement(
        self,
        execute: Callable[..., Any],
        sql: str,
        params: Any,
        many: bool,
        context: dict[str, Any],
    ) -> Any:
        """Make the actor of this thread wait before the first statement of a change."""
        actor = self.current
        if actor is None:
            return execute(sql, params, many, context)
        if actor.is_dead:
            raise Killed
        session = context["connection"]
        waits = actor.is_dirty and not actor.is_coarse
        if waits and _begins_change(session, sql):
            self.reach(actor, "before a transaction")
        try:
            return execute(sql, params, many, context)
        finally:
            is_lock = "_advisory_" in sql
            actor.is_dirty |= context["cursor"].rowcount > 0 and not is_lock

    def _connected(self, connection: Any, **_: Any) -> None:
        if (actor := self.current) is None:
            return
        if actor.is_dead:
            connection.connection.close()
            raise Killed
        assert actor.lane is not None
        actor.lane.pid = connection.connection.info.backend_pid


def _begins_change(session: Any, sql: str) -> bool:
    """Return whether the statement is the first of a transaction that may write."""
    status = session.connection.info.transaction_status
    is_read = sql.lstrip().startswith("SELECT") and not session.in_atomic_block
    return status == TransactionStatus.IDLE and not is_read
