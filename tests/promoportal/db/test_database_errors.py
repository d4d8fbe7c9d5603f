"""What a command says of a database that was not migrated."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import ProgrammingError, connection

from promoportal.management.base_command import PortalCommand

pytestmark = pytest.mark.django_db


class Asking(PortalCommand):
    """A command that asks the database something."""

    requires_migrations_checks = False
    sql = ""

    def handle(self, *args: Any, **options: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute(self.sql)


def asked(sql: str) -> None:
    command = Asking(stdout=StringIO())
    command.sql = sql
    call_command(command)


@pytest.mark.parametrize(
    "sql",
    ["SELECT 1 FROM not_made_yet", "SELECT not_made_yet FROM django_migrations"],
)
def test_where_a_table_or_a_column_is_missing_it_says_to_migrate(sql: str) -> None:
    with pytest.raises(CommandError, match=r"run `manage\.py migrate` first"):
        asked(sql)


@pytest.mark.parametrize("sql", ["SELECT no_function()", "SELECT FROM FROM"])
def test_any_other_mistake_is_ours(sql: str) -> None:
    with pytest.raises(ProgrammingError):
        asked(sql)
