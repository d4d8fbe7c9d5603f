"""A dump is taken during an execution, more is activated, and the dump is restored."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection

from bench.clusters import database_url
from promoportal import sandbox
from promoportal.db.embedded import binaries
from promoportal.sandbox import Fault
from tests.engine.conftest import kill_family
from tests.engine.processes import until
from tests.world import sandbox_settings

MANAGE = [sys.executable, str(settings.BASE_DIR / "manage.py")]

# As if the dump is restored more than a minute after it was taken.
EXPIRE_LEASES = (
    "UPDATE rewards_assignment SET lease_until = now() WHERE lease_until > now()",
    "UPDATE redemptions_redemption SET lease_until = now() WHERE lease_until > now()",
)


class Portal:
    """A complete portal of real processes, on a database of its own."""

    def __init__(self, box: sandbox.SandboxHandle, name: str) -> None:
        url = database_url().replace(
            f"/{connection.settings_dict['NAME']}?", f"/{name}?"
        )
        self.name, self.url = name, url
        self.environment = os.environ | {
            "DATABASE_URL": url,
            **sandbox_settings(box),
            "REDEMPTION_INTERVAL_SECONDS": "1",
        }

    @contextmanager
    def running(self) -> Iterator[None]:
        process = subprocess.Popen(
            [*MANAGE, "run", "--port", "0"],
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            assert process.stdout
            assert process.stdout.readline()
            yield
        finally:
            kill_family(process)  # SIGKILL, to all of it

    def manage(self, *arguments: str) -> None:
        subprocess.run(
            [*MANAGE, *arguments],
            env=self.environment,
            check=True,
            stdout=subprocess.DEVNULL,
        )

    def create_database(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f'CREATE DATABASE "{self.name}"')

    def drop_database(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f'DROP DATABASE IF EXISTS "{self.name}" WITH (FORCE)')


@pytest.fixture
def portal(transactional_db: None, box: sandbox.SandboxHandle) -> Iterator[Portal]:
    portal = Portal(box, f"backup_{uuid.uuid4().hex[:12]}")
    portal.create_database()
    yield portal
    portal.drop_database()


@pytest.fixture
def postgresql() -> Path:
    wheel = binaries.find()
    if wheel is None:
        pytest.skip("There is no pg_dump for this platform.")
    return binaries.of_version(wheel, None)


def call(program: Path, portal: Portal, *arguments: str) -> None:
    """Run one of PostgreSQL's programs."""
    subprocess.run(
        [program, *arguments, portal.url], check=True, stdout=subprocess.DEVNULL
    )


Are = Callable[[], bool]


@pytest.mark.timeout(180)
def test_a_restored_dump_activates_nothing_twice_and_loses_nothing(
    portal: Portal, box: sandbox.SandboxHandle, postgresql: Path, tmp_path: Path
) -> None:
    occurrence = box.execute(customers=600, eligible=1.0, announce=False)
    box.order(Fault(kind="slow", side="platform", seconds=0.1, times=600))
    dump = tmp_path / "dump.sql"

    def all_agree() -> bool:
        found = box.books(occurrence).agreement
        assert found is not None
        return not (found.missing + found.unreported)

    with portal.running():
        portal.manage("open", occurrence)
        until(lambda: len(box.credits) > 50, "some were given", seconds=40)
        call(postgresql / "pg_dump", portal, "--file", str(dump), "--dbname")
        at_the_dump = len(box.credits)
        until(all_agree, "all were given and reported", seconds=60)
    portal.drop_database()
    portal.create_database()
    call(postgresql / "psql", portal, "--quiet", "--file", str(dump), "--dbname")
    for statement in EXPIRE_LEASES:
        call(postgresql / "psql", portal, "--command", statement, "--dbname")
    with portal.running():
        until(
            lambda: portal_is_settled(portal), "the portal knows it again", seconds=60
        )

    assert at_the_dump < 600
    ledgers = box.books(occurrence)
    assert (ledgers.platform.credits, ledgers.platform.most_per_assignment) == (600, 1)
    assert ledgers.vendor.accepted == 600


def portal_is_settled(portal: Portal) -> bool:
    """Return whether all is activated and reported in the portal's own rows."""
    done = subprocess.run(
        [*MANAGE, "shell", "--no-imports", "-c", _UNSETTLED],
        env=portal.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip() == "600"


_UNSETTLED = (
    "from redemptions.models import Redemption as R;"
    "print(R.objects.filter(state='REPORTED', assignment__state='ACTIVE').count())"
)
