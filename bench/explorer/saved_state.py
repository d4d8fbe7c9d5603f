"""
The rows of the explorer's database: saved, put back, and compared.

Two states are equal if they differ only in times that have passed, in lease tokens, in
keys of rows, and in the history that no decision reads.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

Row = dict[str, Any]
Tables = Mapping[str, list[Row]]

# The tables of a saved state, with the columns that decide what happens next.
_COMPARED: Mapping[str, tuple[str, ...]] = {
    "executions_execution": ("reference", "state", "stop", "reason"),
    "rewards_promotion": ("reference",),
    "rewards_assignment": (
        *("reference", "customer", "promotion_id", "as_assigned", "meaning"),
        *("value", "state", "reason", "difference", "repeated", "cleared", "doubtful"),
        *("cancelled_too_late", "key", "order", "receipt", "evidence", "malformed"),
        *("deaths", "failures", "not_before", "lease_until", "first_sent_at"),
        *("owed_since", "token"),
    ),
    "rewards_attempt": ("assignment_id", "kind", "outcome"),
    "rewards_collection": (
        *("state", "reason", "again", "cursor", "looks", "empties", "restarts"),
        *("not_before", "lease_until", "deaths", "failures", "waived", "cleared_to"),
        *("taken_back", "token"),
    ),
    "rewards_tally": ("unit", "customers", "value"),
    "rewards_proposal": ("assignment_id", "says"),
    "rewards_retrial": ("state", "total", "done"),
    "rewards_retrialpart": ("assignments",),
    "rewards_retried": (),
    "redemptions_report": (),
    "redemptions_redemption": (
        *("assignment_id", "state", "reason", "mode", "not_before", "lease_until"),
        *("failures", "batch_limit", "token"),
    ),
    "promoportal_breaker": (*("side", "opened_at", "open_until", "probing"),),
    "promoportal_gap": ("since", "until"),
    "executions_executiontransition": (),
    "executions_trigger": ("customer", "state"),
}
# Emptied when a state is put back. No decision reads these rows.
_EMPTIED = (
    "rewards_assignmenttransition",
    "rewards_collectiontransition",
    "rewards_retrialtransition",
    "redemptions_redemptiontransition",
    "promoportal_census",
    "promoportal_allowance",
)
# Times that have passed for longer than this are equal, unless a deadline counts them.
_LONG_AGO = -timedelta(minutes=10).total_seconds()
_COUNTED = {"first_sent_at", "owed_since", "since"}
_TIMES = {
    *("not_before", "lease_until", "opened_at", "open_until", "until"),
    *_COUNTED,
}


@dataclass(frozen=True)
class SavedState:
    """The rows of all tables at one time."""

    tables: Tables
    text: str
    at: datetime

    def put_back(self) -> None:
        """
        Replace the rows of the database by these, as a restored backup does.

        New rows get keys from the highest saved one on.
        """
        with connection.cursor() as cursor:
            cursor.execute(_PUT_BACK, {"saved": self.text})


def save(now: datetime) -> SavedState:
    """Read all rows of the database."""
    with connection.cursor() as cursor:
        cursor.execute(_SAVE)
        text = cursor.fetchone()[0]
    return SavedState(json.loads(text), text, now)


def digest(state: SavedState, *more: Any) -> str:
    """Return a hash of what decides the future of the state."""
    references = {
        row["id"]: row["reference"] for row in state.tables["rewards_assignment"]
    }
    parts = {
        name: sorted(
            json.dumps(
                [_value(each, row, state.at, references) for each in columns],
                sort_keys=True,
            )
            for row in state.tables[name]
        )
        for name, columns in _COMPARED.items()
        if columns
    }
    text = json.dumps([parts, more], sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def _value(name: str, row: Row, now: datetime, references: Mapping[int, str]) -> Any:
    value = row[name]
    if name == "token":
        return value is not None
    if name in _TIMES and value is not None:
        seconds = round((datetime.fromisoformat(value) - now).total_seconds())
        return seconds if name in _COUNTED else max(seconds, _LONG_AGO)
    if name == "cleared_to":
        return value is None
    if name == "assignment_id":
        return references[value]
    if name == "assignments":
        return [references[key] for key in value]
    return value


def _statements() -> tuple[str, str]:
    read = ", ".join(
        f"'{name}', (SELECT coalesce(jsonb_agg(to_jsonb(t) ORDER BY t), '[]')"
        f" FROM {name} t)"
        for name in _COMPARED
    )
    clear = " ".join(f"DELETE FROM {name};" for name in (*_COMPARED, *_EMPTIED))
    fill = " ".join(
        f"INSERT INTO {name} SELECT * FROM"
        f" jsonb_populate_recordset(NULL::{name}, %(saved)s::jsonb -> '{name}');"
        for name in _COMPARED
    )
    sequences = ", ".join(
        f"setval(pg_get_serial_sequence('{name}', 'id'),"
        f" coalesce((SELECT max(id) FROM {name}), 0) + 1, false)"
        for name in _COMPARED
        if name != "promoportal_breaker"  # its key is no number
    )
    # Without triggers: neither counts nor foreign keys are of interest here.
    put_back = f"SET LOCAL session_replication_role = replica; {clear} {fill}"
    return (
        f"SELECT jsonb_build_object({read})::text",
        f"BEGIN; {put_back} SELECT {sequences}; COMMIT;",
    )


_SAVE, _PUT_BACK = _statements()
