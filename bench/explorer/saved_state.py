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
from functools import cache
from typing import Any

from django.apps import apps
from django.db import connection

Row = dict[str, Any]
Tables = Mapping[str, list[Row]]

_APPS = ("promoportal", "executions", "rewards", "redemptions")
# Tables that no schedule changes, apart from the history of its changes.
_KEPT = {
    *("promoportal_installation", "promoportal_origin", "promoportal_savedfilter"),
    *("promoportal_continuity", "executions_campaign", "executions_listener"),
    *("executions_delivery", "executions_deliverytransition"),
    "executions_triggertransition",
}
# Emptied when a state is put back. No decision reads these rows.
_EMPTIED = {
    *("rewards_assignmenttransition", "rewards_collectiontransition"),
    *("rewards_retrialtransition", "redemptions_redemptiontransition"),
    *("promoportal_census", "promoportal_allowance"),
}
# Put back, but not compared: these rows only tell what happened.
_HISTORY = {
    *("executions_executiontransition", "redemptions_report", "rewards_retried"),
}
# Columns that only tell what happened, how often or when.
_TOLD = {
    *("id", "state_since", "changed_at", "created_at", "first_seen_at", "opened_at"),
    *("begun_at", "ended_at", "assigned_at", "redeemed_at", "confirmed_at", "at"),
    *("attempts", "number", "newest", "listed_pass", "finished", "pages"),
    *("seen", "seen_before", "problem", "why", "answer", "duration_ms", "form"),
    *("version", "confirmed_as", "begun_as", "report_id", "retrial_id", "by_id"),
    "pauses",
}
_BREAKER = {"failures"}  # they matter only near the limit of fifty
_TIMES = {"not_before", "lease_until", "open_until", "until", "told_at"}
# Times that have passed for longer than this are equal, unless a deadline counts them.
_LONG_AGO = -timedelta(minutes=10).total_seconds()
_COUNTED = {"first_sent_at", "owed_since", "since"}


@cache
def saved() -> Mapping[str, tuple[str, ...]]:
    """Return the tables of a saved state, each with the columns to compare."""
    found: dict[str, tuple[str, ...]] = {}
    for model in (m for app in _APPS for m in apps.get_app_config(app).get_models()):
        name = model._meta.db_table
        if model._meta.proxy or name in _KEPT | _EMPTIED:
            continue
        told = _TOLD | (_BREAKER if name == "promoportal_breaker" else set())
        columns = [field.column for field in model._meta.concrete_fields]
        compared = [each for each in columns if each and each not in told]
        found[name] = () if name in _HISTORY else tuple(compared)
    return found


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
            cursor.execute(_statements()[1], {"saved": self.text})


def save(now: datetime) -> SavedState:
    """Read all rows of the database."""
    with connection.cursor() as cursor:
        cursor.execute(_statements()[0])
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
        for name, columns in saved().items()
        if columns
    }
    text = json.dumps([parts, more], sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def _value(name: str, row: Row, now: datetime, references: Mapping[int, str]) -> Any:
    value = row[name]
    if name == "token":
        return value is not None
    if name in _COUNTED or name in _TIMES:
        if value is None:
            return None
        seconds = round((datetime.fromisoformat(value) - now).total_seconds())
        return seconds if name in _COUNTED else max(seconds, _LONG_AGO)
    if name in {"cleared_to", "opened_at"}:
        return value is None
    if name == "assignment_id":
        return references[value]
    if name == "assignments":
        return [references[key] for key in value]
    return value


@cache
def _statements() -> tuple[str, str]:
    """Return the statements that read all rows, and that put them back."""
    read = ", ".join(
        f"'{name}', (SELECT coalesce(jsonb_agg(to_jsonb(t) ORDER BY t), '[]')"
        f" FROM {name} t)"
        for name in saved()
    )
    clear = " ".join(f"DELETE FROM {name};" for name in (*saved(), *sorted(_EMPTIED)))
    fill = " ".join(
        f"INSERT INTO {name} SELECT * FROM"
        f" jsonb_populate_recordset(NULL::{name}, %(saved)s::jsonb -> '{name}');"
        for name in saved()
    )
    sequences = ", ".join(
        f"setval(pg_get_serial_sequence('{name}', 'id'),"
        f" coalesce((SELECT max(id) FROM {name}), 0) + 1, false)"
        for name in saved()
        if name != "promoportal_breaker"  # its key is no number
    )
    # Without triggers: neither counts nor foreign keys are of interest here.
    put_back = f"SET LOCAL session_replication_role = replica; {clear} {fill}"
    return (
        f"SELECT jsonb_build_object({read})::text",
        f"BEGIN; {put_back} SELECT {sequences}; COMMIT;",
    )
