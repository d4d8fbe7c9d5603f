"""A server that answers for chosen customers, as Optimove's Promotions API does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.promoportal.wire import raw_server

Answer = Callable[[raw_server.Connection], None]
REWARD = {"category": "Amount", "type": "BonusCash", "value": 10, "currency": "EUR"}


def status(code: int, **headers: str) -> Answer:
    """Return an answer with this status."""
    said = raw_server.answer(b'"It failed."', status=code, headers=headers)
    return lambda connection: connection.say(said)


def text(body: bytes) -> Answer:
    """Return an answer with status 200 and this body."""
    return lambda connection: connection.say(raw_server.answer(body))


def no_answer(connection: raw_server.Connection) -> None:
    """Break the connection after the request arrived."""
    connection.reset()
    connection.sock.close()


@dataclass
class CustomerLists:
    """The rows of each customer, the size of a page, and the customers that fail."""

    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    failing: dict[str, Answer] = field(default_factory=dict)
    by_cursor: dict[str, Answer] = field(default_factory=dict)
    page_size: int = 10
    calls: list[tuple[tuple[str, ...], str]] = field(default_factory=list)
    always: Answer | None = None
    next_cursor: Callable[[int], str] = str
    circle: int | None = None  # the first row of the page that follows every page

    def assign(self, customer: str, count: int = 1, **changes: Any) -> None:
        """Assign rewards of different promotions to a customer."""
        rows = self.rows.setdefault(customer, [])
        for number in range(len(rows), len(rows) + count):
            row = {
                "assignmentId": f"{customer}-{number}",
                "customerId": customer,
                "promotionId": f"promo-{number}",
                "status": "Assigned",
                "reward": REWARD,
            }
            rows.append({**row, **changes})

    def speak(self, connection: raw_server.Connection) -> None:
        while (body := connection.hear()) is not None:
            asked = json.loads(body)
            customers = tuple(asked.get("customerIds") or ())
            cursor = str(asked.get("pageToken") or "")
            self.calls.append((customers, cursor))
            answer = self._answer(customers, cursor, asked["occurrenceId"])
            answer(connection)
            if answer is no_answer:
                return

    def _answer(self, customers: Sequence[str], cursor: str, occurrence: int) -> Answer:
        if self.always:
            return self.always
        if cursor in self.by_cursor:
            return self.by_cursor[cursor]
        for customer in customers:
            if customer in self.failing:
                return self.failing[customer]
        return text(json.dumps(self._page(customers, cursor, occurrence)).encode())

    def _page(
        self, customers: Sequence[str], cursor: str, occurrence: int
    ) -> dict[str, Any]:
        rows = [row for each in customers for row in self.rows.get(each, [])]
        first = int(cursor.rpartition("#")[2] or 0)
        after = first + self.page_size
        if self.circle is not None and after >= len(rows):
            after = self.circle
        return {
            "occurrenceId": occurrence,
            "assignments": rows[first : first + self.page_size],
            "nextPageToken": self.next_cursor(after) if after < len(rows) else None,
        }


@contextmanager
def serving() -> Iterator[tuple[CustomerLists, str]]:
    """Serve customers' lists; yield them with the server's address."""
    lists = CustomerLists()
    with raw_server.serving(lists.speak) as server:
        yield lists, server.address
