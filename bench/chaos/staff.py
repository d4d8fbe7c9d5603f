"""Staff who use pages that they opened some seconds ago."""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any, Protocol
from urllib.parse import urljoin

import psycopg
import requests

from bench.chaos.html_forms import Form, Pairs, forms_of
from bench.chaos.platform_record import PlatformRecord
from bench.chaos.target import PASSWORD, STAFF

# Seconds between two pages that are opened.
_EVERY = 0.5
# Seconds for which a page is kept before its button is pressed.
_KEPT = (1.0, 8.0)
# Staff decide about a reward with an unknown outcome this many seconds after its last
# request: longer than any request takes, also one that the platform executes late.
_QUIET = 30.0
# The most rewards that staff look up in the platform's ledger at once.
_MOST = 5_000
_HELD = "/admin/rewards/assignment/?state__exact=HELD"
_DOUBTFUL = f"{_HELD}&doubtful__exact=1"

# The kind of a message, in the list of messages of a page.
_LEVEL = re.compile(r'<li class="(success|warning|error)"')
_HELD_REWARDS = """
    SELECT id, reason, doubtful FROM rewards_assignment
    WHERE state = 'HELD' AND NOT doubtful ORDER BY random() LIMIT 1
"""
_IN_DOUBT = """
    SELECT row.id, execution.reference, promotion.reference, row.customer, row.state
    FROM rewards_assignment row
    JOIN executions_execution execution ON execution.id = row.execution_id
    JOIN rewards_promotion promotion ON promotion.id = row.promotion_id
    WHERE row.doubtful AND row.state IN ('HELD', 'UNCERTAIN') AND NOT EXISTS (
        SELECT FROM rewards_attempt attempt
        WHERE attempt.assignment_id = row.id AND kind = 'ACTIVATE'
        AND attempt.begun_at > now() - %s * interval '1 second'
    )
    ORDER BY row.state, random() LIMIT %s
"""


@dataclass
class OpenPage:
    """A page that one of the staff has opened, and the button that they will choose."""

    due: float
    session: requests.Session
    url: str
    form: Form
    button: tuple[str, str] | None
    label: str
    checked: Pairs = field(default_factory=list)
    filled: dict[str, str] = field(default_factory=dict)


class Site(Protocol):
    """A portal with its pages and its database, and the sandbox's journal."""

    @property
    def portal_url(self) -> str: ...
    @property
    def journal(self) -> Path: ...
    def rows(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]: ...


class Staff:
    """
    Two users with the role Operations, who use the pages of the portal over HTTP.

    They are honest: they say that a reward was activated, or not, only as the platform
    recorded it when they opened the page.
    """

    def __init__(self, stage: Site, seed: int) -> None:
        self.stage = stage
        self.pressed: Counter[str] = Counter()
        self.may_cancel: set[str] = set()
        self.failed_over_at = 0.0
        self.record = PlatformRecord(stage.journal)
        self._random = random.Random(seed)  # noqa: S311 - must be repeatable
        self._pages: list[OpenPage] = []
        self._sessions: dict[str, requests.Session] = {}
        self._stop = Event()
        self._thread = Thread(target=self._work, daemon=True)

    # --- Time -------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to open and to use pages, in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; `finish` can still be called."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def log_out(self) -> None:
        """Close the connections to the portal."""
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()

    def _work(self) -> None:
        while not self._stop.wait(_EVERY):
            self.press(time.monotonic())
            with suppress(requests.RequestException, psycopg.Error, _NoPage):
                self.open_page(self._random.choice(WAYS))

    def press(self, now: float) -> None:
        """Send the form of each page that was kept long enough."""
        for page in [page for page in self._pages if page.due <= now]:
            self._pages.remove(page)
            try:
                found = self._press(page)
            except (requests.RequestException, _NoPage):
                found = "no response"
            self.pressed[f"staff: {page.label}: {found}"] += 1

    def finish(self) -> None:
        """Use the open pages, resume what was paused, and do what is left."""
        self.press(float("inf"))
        with suppress(requests.RequestException, psycopg.Error, _NoPage):
            for way in (resume, retry_list, decide_list, report_list):
                self.open_page(way)
                self.press(float("inf"))

    # --- Pages ------------------------------------------------------------------------

    def open_page(self, way: Way) -> None:
        """Open a page in one of the ways, if there is a row for it."""
        name = self._random.choice(STAFF)
        session = self._sessions.get(name) or self._log_in(name)
        if page := way(self, session):
            page.due = time.monotonic() + self._random.uniform(*_KEPT)
            self._pages.append(page)

    def get(self, session: requests.Session, path: str) -> tuple[str, str]:
        """Return a page's address and its HTML; log in again if that is necessary."""
        url = urljoin(self.stage.portal_url, path)
        response = session.get(url, timeout=20)
        if "/login/" in response.url:
            for name, known in list(self._sessions.items()):
                if known is session:
                    del self._sessions[name]
            raise _NoPage
        if response.status_code != requests.codes.ok:
            raise _NoPage
        return response.url, response.text

    def _log_in(self, name: str) -> requests.Session:
        session = requests.Session()
        url = urljoin(self.stage.portal_url, "/admin/login/?next=/admin/")
        page = session.get(url, timeout=20)
        [form] = [one for one in forms_of(page.text) if one.method == "post"]
        data = form.sent(filled={"username": name, "password": PASSWORD})
        done = session.post(urljoin(page.url, form.action), data, timeout=20)
        if "/login/" in done.url or done.status_code != requests.codes.ok:
            raise _NoPage
        self._sessions[name] = session
        return session

    def _press(self, page: OpenPage) -> str:
        """Send the form, and confirm it; return what the portal said."""
        why = _why(page.form)
        data = page.form.sent(page.button, page.checked, {**why, **page.filled})
        url = urljoin(page.url, page.form.action)
        response = page.session.post(url, data, timeout=60)
        for _ in range(2):
            button = _confirmation(response.text)
            if button is None:
                break
            form, pressed = button
            data = form.sent(pressed, filled=_why(form))
            url = urljoin(response.url, form.action)
            response = page.session.post(url, data, timeout=60)
        return _said(response)


class _NoPage(Exception):
    """The portal did not show the page."""


Way = Callable[[Staff, requests.Session], OpenPage | None]


def _page(
    staff: Staff, session: requests.Session, path: str, action: str
) -> OpenPage | None:
    """Open the page of a row, if it offers the action."""
    url, html = staff.get(session, path)
    for form in forms_of(html):
        if form.method == "post" and form.offers("action", action):
            return OpenPage(0, session, url, form, ("action", action), action)
    return None


def _row(model: str, key: object) -> str:
    return f"/admin/{model}/{key}/change/"


def review(staff: Staff, session: requests.Session) -> OpenPage | None:
    """Retry or approve a reward that needs review, and seldom write it off."""
    for key, reason, _ in staff.stage.rows(_HELD_REWARDS):
        path = _row("rewards/assignment", key)
        action = "release" if reason in _TO_APPROVE else "retry"
        if staff._random.random() < 0.05:
            action = "write_off"
        return _page(staff, session, path, action)
    return None


_TO_APPROVE = {"REPEATED", "OVER_LIMIT", "DIFFERS"}


def decide(staff: Staff, session: requests.Session) -> OpenPage | None:
    """Say for one reward with an unknown outcome whether it was activated."""
    for key, given in _facts(staff, 1):
        action = "given" if given else "not_given"
        return _page(staff, session, _row("rewards/assignment", key), action)
    return None


def decide_list(staff: Staff, session: requests.Session) -> OpenPage | None:
    """Choose rewards in the list, and say the same for all of them."""
    facts = {str(key): given for key, given in _facts(staff, _MOST)}
    for said, action in ((True, "given"), (False, "not_given")):
        keys = {key for key, given in facts.items() if given is said}
        if keys and (page := _list(staff, session, _DOUBTFUL, action, keys)):
            return page
    return None


def _facts(staff: Staff, most: int) -> list[tuple[int, bool]]:
    """Return possibly activated rewards, and whether the platform has credited each by now."""
    if time.monotonic() - staff.failed_over_at < _QUIET:
        return []
    rows = staff.stage.rows(_IN_DOUBT, _QUIET, most)
    return [(key, staff.record.has(*who)) for key, *who, _state in rows]


def _list(
    staff: Staff,
    session: requests.Session,
    path: str,
    action: str,
    keys: set[str] | None = None,
) -> OpenPage | None:
    url, html = staff.get(session, path)
    for form in forms_of(html):
        boxes = [box for box in form.boxes if box[0] == "_selected_action"]
        checked = [box for box in boxes if keys is None or box[1] in keys]
        if form.method == "post" and checked:
            label = f"{action} (list)"
            filled = {"action": action}
            button = next(iter(form.buttons), None)
            return OpenPage(0, session, url, form, button, label, checked, filled)
    return None


def retry_list(staff: Staff, session: requests.Session) -> OpenPage | None:
    return _list(staff, session, f"{_HELD}&doubtful__exact=0", "retry")


def report_list(staff: Staff, session: requests.Session) -> OpenPage | None:
    path = "/admin/redemptions/redemption/?state__exact=HELD"
    return _list(staff, session, path, "report_again")


def retry_all(staff: Staff, session: requests.Session) -> OpenPage | None:
    """Request a bulk retry of all rewards that need review."""
    url, html = staff.get(session, _HELD)
    for form in forms_of(html):
        if form.offers("retry_all", "ask"):
            button = ("retry_all", "ask")
            return OpenPage(0, session, url, form, button, "retry all matching")
    return None


def pause(staff: Staff, session: requests.Session) -> OpenPage | None:
    sql = "SELECT id FROM executions_execution WHERE stop = 'NONE' ORDER BY random()"
    for [key] in staff.stage.rows(sql)[:1]:
        return _page(staff, session, _row("executions/execution", key), "pause")
    return None


def resume(staff: Staff, session: requests.Session) -> OpenPage | None:
    """Resume an execution that staff paused, but none that is over a limit."""
    sql = "SELECT id FROM executions_execution WHERE stop = 'PAUSED' ORDER BY random()"
    for [key] in staff.stage.rows(sql)[:1]:
        path = _row("executions/execution", key)
        page = _page(staff, session, path, "resume")
        # The page is of a later time than the row that was read above.
        if page and staff.stage.rows(_STOP, key) == [("PAUSED",)]:
            return page
    return None


_STOP = "SELECT stop FROM executions_execution WHERE id = %s"


def open_again(staff: Staff, session: requests.Session) -> OpenPage | None:
    sql = "SELECT id FROM executions_execution WHERE stop = 'NONE' ORDER BY random()"
    for [key] in staff.stage.rows(sql)[:1]:
        return _page(staff, session, _row("executions/execution", key), "open")
    return None


def read_again(staff: Staff, session: requests.Session) -> OpenPage | None:
    sql = "SELECT id FROM executions_delivery ORDER BY random() LIMIT 1"
    for [key] in staff.stage.rows(sql):
        return _page(staff, session, _row("executions/delivery", key), "read_again")
    return None


def cancel(staff: Staff, session: requests.Session) -> OpenPage | None:
    """Cancel one of the executions that the test allows to be cancelled."""
    sql = "SELECT id FROM executions_execution WHERE reference = ANY(%s)"
    for [key] in staff.stage.rows(sql, list(staff.may_cancel)):
        path = _row("executions/execution", key)
        if page := _page(staff, session, path, "cancel"):
            return page
    return None


WAYS: tuple[Way, ...] = (
    *(review, review, decide, decide, decide_list, retry_list, report_list),
    *(retry_all, pause, resume, resume, open_again, read_again, cancel),
)


def _why(form: Form) -> dict[str, str]:
    """Return the reason, if the form asks for one."""
    asks = any(name == "why" for name, _ in form.fields)
    return {"why": "fault test"} if asks else {}


def _confirmation(html: str) -> tuple[Form, tuple[str, str]] | None:
    for form in forms_of(html):
        for pressed in (("confirmed", "yes"), ("retry_all", "yes")):
            if form.offers(*pressed):
                return form, pressed
    return None


def _said(response: requests.Response) -> str:
    """Return "done", "not done" or the status, from the page that follows."""
    if response.status_code != requests.codes.ok:
        return f"status {response.status_code}"
    levels = _LEVEL.findall(response.text)
    return "not done" if levels and "success" not in levels else "done"
