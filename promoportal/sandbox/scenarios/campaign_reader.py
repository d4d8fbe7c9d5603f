"""The readers of target groups, events, and campaigns with their emails."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from promoportal.sandbox import mails
from promoportal.sandbox.engine import Promotion, Value
from promoportal.sandbox.scenarios.condition_reader import (
    Attributes,
    condition,
    kind_of,
)
from promoportal.sandbox.scenarios.data_files import column, text
from promoportal.sandbox.scenarios.email_context import names
from promoportal.sandbox.scenarios.promotion_reader import check
from promoportal.sandbox.scenarios.scenario import Campaign, Event, TargetGroup
from promoportal.toml.problems import instead
from promoportal.toml.tables import Table, as_number, is_whole, shown


class Kind(enum.StrEnum):
    """CONFIRMED: a campaign is scheduled, or triggered by an event of a customer."""

    SCHEDULED = "scheduled"
    TRIGGERED = "triggered"


def group(table: Table, attributes: Attributes | None) -> TargetGroup:
    """Return the target group in a table, defined by a condition or a file of IDs."""
    by_file = table.has("file")
    if by_file and table.has("where"):
        table.wrong("file", 'cannot be combined with "where".')
    before = len(table.problems)
    where = condition(table, "where", attributes)
    if len(table.problems) == before:
        check(table, where)
    found = TargetGroup(
        id=table.whole("id", most=10**9),
        name=table.text("name"),
        condition=where,
        members=column(table, "file") if by_file else None,
    )
    table.end()
    return found


# --- Events ---------------------------------------------------------------------------


def event(table: Table) -> Event:
    """Return the event in a table, with its customers and its values."""
    values: dict[str, Value | tuple[Decimal, Decimal]] = {}
    if table.has("values"):
        below = table.table("values")
        values = (
            {key: _event_value(below, key) for key in below.values} if below else {}
        )
    found = Event(name=table.text("name"), customers=_customers(table), values=values)
    table.end()
    return found


def _customers(table: Table) -> Sequence[str] | int:
    value = table.values.get("customers")
    if isinstance(value, list):
        return table.texts("customers")
    if value is None or is_whole(value):
        return table.whole("customers")
    table.has("customers")
    reason = (
        f"must be a number of customers, or a list of their IDs; it is {shown(value)}."
    )
    table.wrong("customers", reason)
    return 1


def _event_value(table: Table, key: str) -> Value | tuple[Decimal, Decimal]:
    table.has(key)
    value = table.values[key]
    if isinstance(value, dict):
        below = Table(value, table.at(key), table.problems)
        least, most = below.number("from"), below.number("to")
        below.end()
        if least > most:
            below.wrong("from", f'must be at most "to" ({most}); it is {least}.')
        return least, most
    if kind_of(value) is None:
        reason = f"must be one value, or {{from = 10, to = 50}}; it is {shown(value)}."
        table.wrong(key, reason)
        return None
    number = as_number(value) if kind_of(value) == "a number" else None
    found: Value = value if number is None else number
    return found


def kinds(found: Event) -> dict[str, str | None]:
    """Return the kind of each value of an event, by the value's name."""
    return {
        name: "a number" if isinstance(value, tuple) else kind_of(value)
        for name, value in found.values.items()
    }


# --- Campaigns ------------------------------------------------------------------------


def campaign(
    table: Table,
    groups: Mapping[int, TargetGroup],
    promotions: Mapping[str, Promotion],
    attributes: Attributes | None,
) -> Campaign:
    """Return the campaign in a table, with its email if it has one."""
    kind = table.choice("kind", Kind)
    offered = _promotions(table, promotions)
    found = Campaign(
        plan=table.whole("plan", most=10**9),
        name=table.text("name"),
        target_group=_target_group(table, groups),
        promotions=offered,
        channels=table.wholes("channels"),
        event=_triggered_by(table, kind),
        at=_at(table, kind),
        email=_email(
            table,
            [promotions[each] for each in offered if each in promotions],
            attributes,
        ),
    )
    table.end()
    return found


def _target_group(table: Table, groups: Mapping[int, TargetGroup]) -> TargetGroup:
    wanted = table.whole("target_group", most=10**9)
    if wanted not in groups and is_whole(table.values.get("target_group")):
        known = instead(str(wanted), [str(each) for each in groups])
        table.wrong("target_group", f"names {wanted}, which does not exist; {known}")
    return groups.get(wanted) or TargetGroup(id=wanted, name="")


def _promotions(table: Table, promotions: Mapping[str, Promotion]) -> tuple[str, ...]:
    wanted = table.texts("promotions")
    for number, each in enumerate(wanted):
        if each not in promotions:
            reason = f'names "{each}", which does not exist;'
            place = (*table.at("promotions"), number)
            table.problems.at(place, f"{reason} {instead(each, list(promotions))}")
    return wanted


def _triggered_by(table: Table, kind: Kind) -> str | None:
    if kind is Kind.TRIGGERED:
        return table.text("event")
    if table.has("event"):
        table.wrong("event", 'is only for campaigns of the kind "triggered".')
    return None


def _at(table: Table, kind: Kind) -> Any:
    if not table.has("at"):
        return None
    if kind is Kind.TRIGGERED:
        table.wrong("at", 'is only for campaigns of the kind "scheduled".')
        return None
    return table.clock("at")


# --- Emails ---------------------------------------------------------------------------


def _email(
    table: Table, offered: Sequence[Promotion], attributes: Attributes | None
) -> mails.Email | None:
    if not table.has("email"):
        return None
    known = None if attributes is None else names(attributes.names, offered)

    def read(below: Table) -> mails.Email:
        if attributes is not None and "email" not in attributes.names:
            reason = 'needs the address of each customer: an attribute named "email".'
            table.wrong("email", reason)
        html = below.has("html")
        return mails.Email(
            sender=_sender(below),
            subject=_subject(below, known),
            text=_template(below, "text", known, markup=False),
            html=_template(below, "html", known, markup=True) if html else None,
        )

    return table.read("email", read)


def _sender(table: Table) -> str:
    sender = table.text("sender")
    if sender and not mails.is_address(sender):
        example = '"Shop <shop@example.com>"'
        table.wrong(
            "sender", f"must be an address, such as {example}; it is {shown(sender)}."
        )
    return sender


def _subject(table: Table, known: mails.Names | None) -> str:
    subject = table.text("subject")
    for mistake in mails.mistakes(subject, known):
        table.wrong("subject", f"is invalid. {mistake.sentence}")
    return subject


def _template(
    table: Table, key: str, known: mails.Names | None, *, markup: bool
) -> str:
    found = text(table, key)
    if found is None:
        return ""
    path, source = found
    for mistake in mails.mistakes(source, known, markup=markup):
        table.problems.elsewhere(Path(path), mistake.line, mistake.sentence)
    return source
