"""After a test that committed, the database is as the migrations left it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.db import connection, connections
from django.db.models.signals import post_migrate
from django.test.utils import CaptureQueriesContext

from executions.models import Campaign
from tests.factories import CampaignFactory

pytestmark = pytest.mark.django_db(transaction=True)


def flush(**options: Any) -> None:
    """Empty the database as after a test."""
    call_command(
        "flush", verbosity=0, interactive=False, reset_sequences=False, **options
    )


def truncated(queries: CaptureQueriesContext) -> bool:
    return any("TRUNCATE" in query["sql"] for query in queries)


@pytest.fixture
def other() -> Iterator[str]:
    """The same database under another alias."""
    connections["other"] = connection.copy("other")
    yield "other"
    connections["other"].close()
    del connections["other"]


@pytest.fixture
def notified() -> Iterator[list[str]]:
    """The databases of all `post_migrate` signals, recorded by a receiver."""
    notified: list[str] = []

    def record(using: str, **_: Any) -> None:
        notified.append(using)

    post_migrate.connect(record)
    yield notified
    post_migrate.disconnect(record)


def test_few_rows_are_deleted_and_roles_are_kept() -> None:
    flush()
    CampaignFactory()
    roles = set(Group.objects.values_list("pk", flat=True))

    with CaptureQueriesContext(connection) as queries:
        flush()

    assert not truncated(queries)
    assert not Campaign.objects.exists()
    assert set(Group.objects.values_list("pk", flat=True)) == roles


def test_changed_roles_are_created_again() -> None:
    Group.objects.all().delete()

    flush()

    assert Group.objects.count() == 4


def test_other_receivers_of_post_migrate_are_called(notified: list[str]) -> None:
    CampaignFactory()

    flush()

    assert set(notified) == {"default"}
    assert not Campaign.objects.exists()


def test_another_database_is_emptied_as_django_does(other: str) -> None:
    flush()

    with CaptureQueriesContext(connections[other]) as queries:
        flush(database=other)

    assert truncated(queries)
