"""Forms of an expired session: nothing is done, and input is kept where possible."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from promoportal.admin.links import list_of, page_of
from redemptions.models import Redemption
from rewards.models import Assignment, AssignmentState
from tests.factories import AssignmentFactory, UserFactory
from tests.staff_client import WHY, StaffClient


def held() -> Assignment:
    return AssignmentFactory(state=AssignmentState.HELD, reason="REFUSED")


def log_in_again(staff: StaffClient, answer: Any) -> Any:
    """Log in as a browser does, and follow the redirect."""
    staff.user.set_password("secret")
    staff.user.save()
    said = {"username": staff.user.username, "password": "secret"}
    return staff.client.post(answer["Location"], said, follow=True)


def test_the_selection_is_kept_until_the_next_login(
    operations: StaffClient,
) -> None:
    rows = [held(), held()]
    operations.client.logout()

    answer = operations.post("retry", *rows)
    told = operations.client.get(answer["Location"]).content.decode()
    asked = log_in_again(operations, answer)

    assert "You were logged out meanwhile, so nothing was done." in told
    assert asked.status_code == 200
    assert asked.context["keys"] == f"{rows[0].pk},{rows[1].pk}"
    assert WHY in asked.content.decode()
    assert set(Assignment.objects.values_list("state", flat=True)) == {
        AssignmentState.HELD
    }
    assert not LogEntry.objects.exists()
    again = operations.get(asked.request["PATH_INFO"])
    assert "keys" not in again.context
    fixed = {name: asked.context[name] for name in ("keys", "seen")}
    said = operations.do("retry", rows[0], _selected_action=[], **fixed)
    assert said == "2 assignments will be tried again."


def test_a_confirmed_action_asks_again_after_the_login(operations: StaffClient) -> None:
    row = held()
    operations.client.logout()

    answer = operations.post(
        "write_off", row, page=row.pk, confirmed="yes", _selected_action=[row.pk]
    )
    asked = log_in_again(operations, answer)

    assert asked.context["action"].name == "write_off"
    assert asked.context["back"] == page_of(row)
    row.refresh_from_db()
    assert row.state == AssignmentState.HELD


# Too long for a cookie.
MANY = ",".join(str(key) for key in range(5_000))


@pytest.mark.parametrize(
    "said",
    [
        {"export": "csv"},
        {"retry_all": "yes", "why": WHY},
        {"naming": "yes", "page": "1", "name": "Welcome"},
        {"action": "retry", "why": WHY, "select_across": "1"},
        {"action": "retry", "why": WHY, "keys": MANY},
    ],
)
def test_other_forms_lead_back_to_the_list_with_its_filters(
    operations: StaffClient, said: dict[str, Any]
) -> None:
    here = list_of(Assignment, state__exact="HELD")
    operations.client.logout()

    answer = operations.client.post(here, said)
    told = operations.client.get(answer["Location"]).content.decode()
    shown = log_in_again(operations, answer)

    assert "what you chose or typed is not kept. Log in, and do it again." in told
    assert shown.request["PATH_INFO"] + "?" + shown.request["QUERY_STRING"] == here
    assert "cl" in shown.context


def test_another_user_without_permission_is_shown_the_list(
    operations: StaffClient, crm: StaffClient
) -> None:
    row = held()
    operations.client.logout()

    answer = operations.post("retry", row)
    operations.user = crm.user
    shown = log_in_again(operations, answer)

    assert shown.status_code == 200
    assert "keys" not in shown.context


def test_a_forged_cookie_is_ignored(
    operations: StaffClient,
) -> None:
    operations.client.cookies["interrupted"] = '["/admin/rewards/assignment/","x"]'

    assert "keys" not in operations.get(list_of(Assignment)).context


def test_a_form_without_a_csrf_token_does_nothing_and_says_so(
    operations: StaffClient,
) -> None:
    row = held()
    careful = Client(enforce_csrf_checks=True)
    careful.force_login(operations.user)

    answer = careful.post(list_of(Assignment), {"action": "retry", "why": WHY})

    assert answer.status_code == 403
    assert "Nothing was done" in answer.content.decode()
    row.refresh_from_db()
    assert row.state == AssignmentState.HELD


def test_lists_of_redemptions_keep_their_address(operations: StaffClient) -> None:
    operations.client.logout()

    answer = operations.client.post(list_of(Redemption), {"export": "csv"})

    assert answer["Location"].startswith("/admin/login/?next=/admin/redemptions/")


def test_a_post_by_a_user_who_is_not_staff_is_refused_and_logged(db: None) -> None:
    staff = StaffClient(UserFactory(is_staff=False))

    assert staff.post("retry", held()).status_code == 403

    assert LogEntry.objects.get().user == staff.user
