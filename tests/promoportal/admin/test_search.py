"""A search term that looks like a key may also be an ID of Optimove."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from uuid import UUID, uuid4

import pytest

from redemptions.models import Redemption
from rewards.models import Assignment
from tests.factories import AssignmentFactory, RedemptionFactory
from tests.staff_client import StaffClient


@pytest.mark.parametrize("form", [str, lambda key: str(key).upper(), attrgetter("hex")])
def test_a_customer_whose_id_is_a_uuid_is_found(
    superuser: StaffClient, form: Callable[[UUID], str]
) -> None:
    customer = form(uuid4())
    assignment = AssignmentFactory(customer=customer)
    redemption = RedemptionFactory(assignment=assignment)

    assert superuser.list(Assignment, q=customer) == [assignment]
    assert superuser.list(Redemption, q=customer) == [redemption]
    assert superuser.list(Assignment, q=str(assignment.key)) == [assignment]
