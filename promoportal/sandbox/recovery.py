"""The facts that are restored from the journal, and how each kind is restored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from promoportal.sandbox.journal import Journal, Keep
from promoportal.sandbox.operator_platform import Credit, Platform
from promoportal.sandbox.optimove.accepted_redemptions import Redeemed, Redemptions
from promoportal.sandbox.optimove.assignment_rows import Handmade, Recalled
from promoportal.sandbox.optimove.external_endpoints import External
from promoportal.sandbox.optimove.occurrences import Campaigns, Occurrence
from promoportal.sandbox.optimove.registered_listeners import Listener, Listeners


@dataclass
class Known:
    """The parts of a sandbox whose facts are in the journal."""

    campaigns: Campaigns
    listeners: Listeners
    redemptions: Redemptions
    platform: Platform
    external: External

    def recall(self, journal: Journal) -> None:
        """Restore all facts of the journal, and store new facts in it from now on."""
        for kind, fact in journal.facts():
            _KINDS[kind](self, fact)
        self.keep_with(journal.keep)

    def keep_with(self, keep: Keep) -> None:
        self.listeners.keep = self.redemptions.keep = keep
        self.platform.keep = self.external.keep = keep

    def listed(self, fact: Mapping[str, Any]) -> None:
        occurrence = self.campaigns.open(
            fact["occurrence"],
            channels=fact["channels"],
            series=fact["series"],
            triggered=fact["triggered"],
        )
        occurrence.started_at = datetime.fromisoformat(fact["started_at"])
        occurrence.rows.made = fact["made"]
        kind = Handmade if fact["by_hand"] else Recalled
        for row in fact["rows"]:
            occurrence.add(kind(row))

    def moved(self, fact: Mapping[str, Any]) -> None:
        occurrence = self.campaigns.known(fact["occurrence"])
        row = occurrence.row(fact["assignment"])
        if row and fact["listed"]:
            occurrence.change(row, status=fact["status"], reward=fact["reward"])
        elif row:
            occurrence.remove(row)

    def cancelled(self, fact: Mapping[str, Any]) -> None:
        self.campaigns.known(fact["occurrence"]).cancel(relist=fact["relist"])

    def listening(self, fact: Mapping[str, Any]) -> None:
        self.listeners.restore(Listener(*one) for one in fact["listeners"])

    def promotions(self, fact: Mapping[str, Any]) -> None:
        self.external.promotions.clear()
        self.external.promotions.update(fact["names"])

    def redeemed(self, fact: Mapping[str, Any]) -> None:
        self.redemptions.restore(Redeemed(**fact))

    def credited(self, fact: Mapping[str, Any]) -> None:
        body, value = bytes.fromhex(fact["body"]), Decimal(fact["value"])
        self.platform.record(Credit(**{**fact, "body": body, "value": value}))


_KINDS: dict[str, Callable[[Known, Mapping[str, Any]], None]] = {
    "listed": Known.listed,
    "moved": Known.moved,
    "cancelled": Known.cancelled,
    "listening": Known.listening,
    "promotions": Known.promotions,
    "redeemed": Known.redeemed,
    "credited": Known.credited,
}


def keep_rows(keep: Keep, occurrence: Occurrence, *, since: int = 0) -> None:
    """Store an execution, and its rows from index `since` on."""
    rows = occurrence.rows[since:]
    fact = {
        "by_hand": any(isinstance(row, Handmade) for row in rows),
        "occurrence": occurrence.id,
        "series": occurrence.series,
        "channels": occurrence.channels,
        "triggered": occurrence.triggered,
        "started_at": occurrence.started_at.isoformat(),
        "made": occurrence.rows.made,
        "rows": [row.listed() for row in rows],
    }
    keep("listed", fact)
