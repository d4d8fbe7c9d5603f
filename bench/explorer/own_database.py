"""The explorer's own database, and the settings of the portal while it explores."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.db import ProgrammingError, connection

from bench.explorer import virtual_clock
from promoportal import jobs
from promoportal.db import installation
from promoportal.pipeline import MAX_JOBS_DUE

# Limits of an execution and of a reward: see `possible_moves` for the rewards.
_SETTINGS: Mapping[str, Any] = {
    "LIMIT_VALUE": ["EUR=25"],
    "LIMIT_REWARD": ["EUR=18"],
    "LIMIT_CUSTOMERS": [],
    "DECIDE_ALONE_UP_TO": [],
    "LIST_AGAIN_AFTER": timedelta(0),
    "REDEMPTION_MODE": "scheduled",
    "REDEMPTION_INTERVAL": timedelta(seconds=300),
    "OPTIMOVE_CONTRACT": "",
    "PLATFORM_TOKEN": "",  # each actor gets its own
    "PLATFORM_ADAPTER": "promoportal.platforms.HttpPlatform",
    # As many permits as `possible_moves` hands out one by one.
    "PLATFORM_CONCURRENCY": 6,
    "DEBUG": False,  # with DEBUG, Django keeps the text of each statement
}


@contextmanager
def database(name: str) -> Iterator[None]:
    """Create an empty database of the portal with a virtual clock; drop it at the end."""
    before = connection.settings_dict["NAME"]
    installation.installation_id.cache_clear()
    try:
        template = _template()
        _drop(name)
        _execute_elsewhere(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        _connect(name)
        virtual_clock.use(name)
        _execute(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
        _connect(name)
        yield
    finally:
        _connect(before)
        installation.installation_id.cache_clear()
        _drop(name)


def _template() -> str:
    """Return the name of a migrated database, which is created if it is missing."""
    name = f"explorer_{_version()}"
    with connection._nodb_cursor() as cursor:
        cursor.execute("SELECT FROM pg_database WHERE datname = %s", [name])
        if cursor.rowcount:
            return name
    building = f"{name}_{os.getpid()}"
    _execute_elsewhere(f'CREATE DATABASE "{building}"')
    _connect(building)
    virtual_clock.install()
    virtual_clock.use(building)
    _connect(building)
    call_command("migrate", verbosity=0)
    connection.close()
    with suppress(ProgrammingError):  # another process was faster
        _execute_elsewhere(f'ALTER DATABASE "{building}" RENAME TO "{name}"')
    _drop(building)
    return name


def _version() -> str:
    """Return a hash of all that the migrated database depends on."""
    files = [Path(virtual_clock.__file__)]
    for label in ("promoportal", "executions", "rewards", "redemptions"):
        files += sorted((settings.BASE_DIR / label / "migrations").glob("*.py"))
    text = b"".join(file.read_bytes() for file in files)
    return hashlib.blake2b(text, digest_size=6).hexdigest()


def _connect(name: str) -> None:
    connection.close()
    connection.settings_dict["NAME"] = name


@contextmanager
def changed_settings(**changes: Any) -> Iterator[None]:
    """Use the settings of the explorer, and these changes."""
    changes = {**_SETTINGS, **changes}
    before = {name: getattr(settings, name) for name in changes}
    for name, value in changes.items():
        setattr(settings, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(settings, name, value)


def fill_queues() -> None:
    """Fill the queues, so that signals queue no job: the explorer starts all jobs."""
    from django_q.models import OrmQ  # noqa: PLC0415 - needs the settings

    OrmQ.objects.bulk_create(
        OrmQ(key=queue, payload="", lock=virtual_clock.START - timedelta(days=1))
        for queue in jobs.QUEUES
        for _ in range(MAX_JOBS_DUE)
    )


def _drop(name: str) -> None:
    _execute_elsewhere(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def _execute_elsewhere(sql: str) -> None:
    with connection._nodb_cursor() as cursor:
        cursor.execute(sql)


def _execute(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)
