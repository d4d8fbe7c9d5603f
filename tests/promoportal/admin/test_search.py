"""A search term that looks like a key may also be an ID of Optimove."""

from __future__ import annotations

from uuid import uuid4

from redemptions.models import Redemption
from rewards.models import Assignment
from tests.factories import AssignmentFactory, RedemptionFactory
from tests.staff_client import StaffClient


def test_a_customer_whose_id_is_a_uuid_is_found(superuser: StaffClient) -> None:
    customer = str(uuid4())
    assignment = AssignmentFactory(customer=customer)
    redemption = RedemptionFactory(assignment=assignment)

    assert superuser.list(Assignment, q=customer) == [assignment]
    assert superuser.list(Redemption, q=customer) == [redemption]
    assert superuser.list(Assignment, q=str(assignment.key)) == [assignment]
