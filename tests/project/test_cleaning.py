"""After a test that committed, everything is as migrating left it."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.utils.timezone import now
from django_q.models import OrmQ

from promoportal.census import Census
from promoportal.roles import Role, group_of
from rewards.models import Assignment
from tests.factories import AssignmentFactory

pytestmark = pytest.mark.django_db(transaction=True)


def clean() -> None:
    call_command("flush", verbosity=0, interactive=False, reset_sequences=False)


@pytest.mark.parametrize("count", [1, 1_001])
def test_what_was_committed_is_gone_and_roles_stay(count: int) -> None:
    permissions = group_of(Role.SUPPORT).permissions.count()
    AssignmentFactory()
    OrmQ.objects.bulk_create(OrmQ(key="portal", lock=now()) for _ in range(count))

    clean()

    assert not Assignment.objects.exists()
    assert not Census.objects.exists()
    assert not OrmQ.objects.exists()
    assert group_of(Role.SUPPORT).permissions.count() == permissions > 0


def test_a_role_that_was_changed_is_made_anew() -> None:
    permissions = group_of(Role.SUPPORT).permissions.count()
    clean()
    group_of(Role.SUPPORT).permissions.clear()
    Group.objects.create(name="left behind")

    clean()

    assert group_of(Role.SUPPORT).permissions.count() == permissions
    assert not Group.objects.filter(name="left behind").exists()
