"""The portal does not start on a database that may lose what was committed."""

from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from bench.clusters import database_url
from promoportal import checks
from promoportal.db import durability
from promoportal.management.commands.runworkers import refuse_unsafe_database
from tests.promoportal.test_checks import manage


def set_local(name: str, value: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL {name} = {value}")


def test_the_default_settings_are_safe(db: None) -> None:
    assert list(durability.weaknesses()) == []
    refuse_unsafe_database()


@pytest.mark.parametrize("value", ["local", "remote_write", "remote_apply"])
def test_each_setting_that_waits_for_the_disk_is_safe(db: None, value: str) -> None:
    set_local("synchronous_commit", value)

    assert list(durability.weaknesses()) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("synchronous_commit", "off"),
        ("default_transaction_isolation", "'repeatable read'"),
        ("default_transaction_isolation", "serializable"),
        ("session_replication_role", "replica"),
    ],
)
def test_an_unsafe_setting_stops_the_start(db: None, name: str, value: str) -> None:
    set_local(name, value)

    [error] = checks._database(databases=["default"])

    assert error.id == "promoportal.E012"
    assert f"{name}={value.strip(chr(39))}" in error.msg
    with pytest.raises(CommandError, match=f"Set {name} to"):
        refuse_unsafe_database()


def test_an_unlogged_table_stops_the_start(db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE UNLOGGED TABLE fast (id int)")

    [weakness] = durability.weaknesses()

    assert "fast is unlogged" in weakness.problem


@pytest.mark.parametrize("name", ["fsync", "full_page_writes", "data_sync_retry"])
def test_settings_of_the_server_are_checked(name: str) -> None:
    """They cannot be changed in a session."""
    assert name in durability._NEEDED


@pytest.mark.parametrize("command", ["check --database default", "runworkers"])
def test_an_unsafe_setting_of_the_connection_is_reported_as_a_sentence(
    db: None, command: str
) -> None:
    unsafe = f"{database_url()}&options=-c%20synchronous_commit%3Doff"

    done = manage(*command.split(), DATABASE_URL=unsafe)

    assert done.returncode == 1
    assert "synchronous_commit=off" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unsafe_role_stops_a_migration(db: None) -> None:
    set_local("synchronous_commit", "off")

    with pytest.raises(Exception, match="synchronous_commit=off"):
        call_command("migrate", check_unapplied=True, skip_checks=False, verbosity=0)
