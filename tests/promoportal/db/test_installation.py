"""The id that keys are derived from never changes."""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.db import IntegrityError, transaction

from promoportal.db.installation import Installation, installation_id


@pytest.mark.django_db
def test_a_portal_has_an_id_from_its_first_migration() -> None:
    assert Installation.objects.get().pk == installation_id()
    assert installation_id().version == 4


@pytest.mark.django_db
def test_there_can_be_no_second_id() -> None:
    other = "6f1a1c0e-7d7e-4b58-9a5e-0a4a3c3b2a19"
    with transaction.atomic(), pytest.raises(IntegrityError):
        Installation.objects.create(pk=other)


@pytest.mark.django_db(transaction=True)
def test_flushing_the_database_keeps_the_id() -> None:
    before = Installation.objects.get().pk
    call_command("flush", interactive=False, verbosity=0)

    assert Installation.objects.get().pk == before
