"""Released names do not change."""

from __future__ import annotations

import re

import pytest
from django.db import connection

from tests.project import fixed_names, tree

# Literals in the source: cookies and salts, locks, log events, and variables between
# processes. During an upgrade two releases run at the same time.
LITERALS = [
    *("0x7469636B", "0x63616C6C", "0x6D696772", '"interrupted"', '"redemption"'),
    *('"promoportal.roles"', '"PORTAL_PARENT_PID"', '"PORTAL_CRASH_AT"'),
    *('"delivery.kept"', '"delivery.unkept"', '"breaker.opened"', '"breaker.closed"'),
    *('"database.restored"', '"collecting.lost_race"', '"%s.frozen"'),
]
TRIGGERS = {
    (table, f"promoportal_count_{change}")
    for table in ("rewards_assignment", "redemptions_redemption")
    for change in ("insert", "update", "delete")
}


@pytest.mark.parametrize("kind", fixed_names.recorded())
def test_every_released_name_still_exists(kind: str, db: None) -> None:
    names = fixed_names.recorded()[kind]
    assert names
    assert set(names) <= set(fixed_names.current()[kind])


@pytest.mark.parametrize("literal", LITERALS)
def test_every_name_between_processes_still_exists(literal: str) -> None:
    product = [
        text
        for name, text in tree.texts()
        if re.match(r"(promoportal|executions|rewards|redemptions)/.*\.py", name)
    ]
    assert any(literal in text for text in product)


def test_the_database_still_counts_rows_by_state(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT tgrelid::regclass::text, tgname FROM pg_trigger"
            " WHERE NOT tgisinternal"
        )
        assert set(cursor.fetchall()) >= TRIGGERS
