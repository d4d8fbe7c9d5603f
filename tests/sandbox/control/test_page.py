"""Optimove's page: its content, its forms, and the access to it."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from typing import Any

import pytest
import requests

from promoportal import sandbox
from promoportal.sandbox import Fault
from tests.sandbox import tenants
from tests.sandbox.callers import Operator
from tests.sandbox.tenants import SCHEDULED
from tests.sandbox.test_operator_platform import ORDER

SLOW = {"do": "fault", "kind": "slow", "side": "platform"}


def see(box: sandbox.SandboxHandle, **options: Any) -> requests.Response:
    return requests.get(box.url, timeout=10, **options)


def text_of(answer: requests.Response) -> str:
    return html.unescape(re.sub(r"<[^>]*>", " ", answer.text))


def send(box: sandbox.SandboxHandle, **fields: object) -> str:
    """Send a form of the page as a browser does; return the message that it shows."""
    nonce = re.search(r'name="nonce" value="([^"]+)"', see(box).text)
    assert nonce is not None
    answer = requests.post(box.url, {"nonce": nonce[1], **fields}, timeout=10)
    assert answer.status_code == 200
    message = re.search(r'<p class="told"[^>]*>(.*?)</p>', answer.text)
    assert message is not None
    return html.unescape(message[1])


def form_of(answer: requests.Response, button: str) -> dict[str, str]:
    """Return the fields of the form with this button, with their initial values."""
    [form] = re.findall(
        rf"<form[^>]*>((?:(?!</form>).)*)>{button}</button>", answer.text
    )
    inputs = re.findall(r'name="(\w+)"(?: value="([^"]*)")?', form)
    fields = {name: html.unescape(value) for name, value in inputs if value}
    return {name: value for name, value in fields.items() if name != "nonce"}


@pytest.fixture
def set_up(box: sandbox.SandboxHandle) -> sandbox.SandboxHandle:
    limited = tenants.promotion(
        budget=tenants.budget("100.00"),
        cap=tenants.cap(9),
        unique_codes=tenants.codes("A1", "A2", fallback="ANY"),
    )
    box.reset(sandbox.Options(scenario=tenants.scenario(promotions=[limited])))
    return box


# --- Content ------------------------------------------------------------------------------


def test_the_page_shows_campaigns_and_the_usage_of_budget_cap_and_codes(
    set_up: sandbox.SandboxHandle,
) -> None:
    set_up.campaign(SCHEDULED)

    text = text_of(see(set_up))
    for part in ("By hand", "Monthly", "triggered by deposit", "PROMO-20"):
        assert part in text
    assert re.search(r"[\d.]+ of 100.00 EUR", text)
    assert re.search(r"\d of 9, lifetime", text)
    assert "2 of 2" in text
    assert re.search(r"\d+ BudgetExceeded", text)


def test_the_page_shows_faults_listeners_and_requests_without_secrets(
    set_up: sandbox.SandboxHandle,
) -> None:
    set_up.register(13, "http://127.0.0.1:9/webhooks/a-secret")
    set_up.order(Fault(kind="slow", side="platform"))
    requests.get(f"{set_up.url}/optimove/General/GetLanguages", timeout=5)

    text = text_of(see(set_up))

    assert "slow" in text
    assert "GET General/GetLanguages" in text
    assert "127.0.0.1:9" in text
    assert "a-secret" not in text


def test_everything_that_is_shown_is_escaped(box: sandbox.SandboxHandle) -> None:
    nasty = '<script>alert("1")</script>'
    scenario = replace(tenants.scenario(), title=nasty, about=nasty)
    box.reset(sandbox.Options(scenario=scenario))

    answer = see(box)

    assert nasty not in answer.text
    assert nasty in html.unescape(answer.text)
    assert "<script" not in answer.text
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_the_stylesheet_is_allowed_by_the_policy(
    box: sandbox.SandboxHandle,
) -> None:
    style = requests.get(f"{box.url}/page.css", timeout=5)

    assert '<link rel="stylesheet" href="/page.css">' in see(box).text
    assert style.headers["Content-Type"].startswith("text/css")
    assert "style=" not in see(box).text


def test_the_page_refreshes_itself_only_on_request(box: sandbox.SandboxHandle) -> None:
    assert "refresh" not in see(box).text.partition("<body>")[0]
    every = see(box, params={"every": "5"}).text
    assert '<meta http-equiv="refresh" content="5">' in every


# --- Forms --------------------------------------------------------------------------------


def test_a_form_executes_a_campaign(set_up: sandbox.SandboxHandle) -> None:
    message = send(set_up, do="campaign", plan=SCHEDULED)

    assert re.fullmatch(r"Campaign 120 started as execution \d+\.", message)
    assert set_up.promotion("promo-20")["recipients"] > 0


def test_a_form_lets_customers_cause_an_event(
    set_up: sandbox.SandboxHandle,
) -> None:
    # The form has no amount for the deposit, so no customer gets a percentage of it.
    assert send(set_up, do="event", name="deposit", customers=4) == (
        'Event "deposit": 0 customers received a promotion.'
    )


def test_without_a_scenario_customers_are_generated(box: sandbox.SandboxHandle) -> None:
    executed = send(box, do="execute", customers=12)
    triggered = send(box, do="trigger", customers=3)

    assert executed.endswith("was started for 12 customers.")
    assert triggered.endswith("was triggered by 3 customers.")


def test_a_form_deactivates_and_activates_a_promotion(
    set_up: sandbox.SandboxHandle,
) -> None:
    off = send(set_up, do="promotion", id="promo-20", to="deactivate")
    state = set_up.promotion("promo-20")["state"]
    on = send(set_up, do="promotion", id="promo-20", to="activate")

    assert (off, state) == ("PROMO-20 is now Deactivated.", "Deactivated")
    assert on == "PROMO-20 is now Active."


def test_a_form_orders_and_clears_a_fault(box: sandbox.SandboxHandle) -> None:
    message = send(box, do="fault", kind="lost_answer", side="platform", times=3)
    ordered = box.faults
    cleared = send(box, do="clear")

    assert message == "Fault added: lost_answer (platform), 3 times."
    assert [(one.kind, one.side, one.times) for one in ordered] == [
        ("lost_answer", "platform", 3)
    ]
    assert (cleared, box.faults) == ("All faults removed.", [])


def test_a_form_makes_the_platform_refuse_rewards_but_not_lookups(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    order = form_of(see(box), "Reject rewards")
    text = send(box, **order | {"lasts": 30})
    shown = text_of(see(box))

    refused = operator.reward(ORDER, key="k1")
    looked_up = operator.look_up("k1")
    send(box, do="clear")
    taken = operator.reward(ORDER, key="k1")

    assert text == "Fault added: error_before (platform), every time, for 30 seconds."
    assert "422 The customer's account is closed." in shown
    assert (refused.status_code, refused.json()) == (
        422,
        "The customer's account is closed.",
    )
    assert (looked_up.status_code, taken.status_code) == (404, 201)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"do": "campaign", "plan": "999"}, "There is no campaign 999. Known: 120"),
        ({"do": "campaign", "plan": "-1"}, "plan must be a whole number."),
        ({"do": "event", "name": "dance"}, 'triggered by the event "dance"'),
        ({"do": "fault", "kind": "no", "side": "any"}, "kind for any"),
        ({"do": "promotion", "id": "promo-20", "to": "eat"}, "do must be one of"),
        ({**SLOW, "status": "42"}, "status must be from 200 to 599."),
        ({**SLOW, "lasts": "86401"}, "lasts must be from 0 to 86,400."),
    ],
)
def test_an_impossible_action_is_reported_in_a_sentence(
    set_up: sandbox.SandboxHandle, fields: dict[str, str], sentence: str
) -> None:
    message = send(set_up, **fields)

    assert message.startswith("No changes were made. ")
    assert sentence in message


# --- Access -------------------------------------------------------------------------------


@pytest.mark.parametrize("nonce", ["", "guessed"])
def test_a_form_of_another_page_does_nothing(
    box: sandbox.SandboxHandle, nonce: str
) -> None:
    form = {"nonce": nonce, "do": "execute", "customers": "5"}

    assert requests.post(box.url, form, timeout=5).status_code == 403
    assert not box.notices


def test_a_request_with_another_host_name_is_refused(
    box: sandbox.SandboxHandle,
) -> None:
    answer = see(box, headers={"Host": "rebound.example"})

    assert answer.status_code == 403
    assert "nonce" not in answer.text


def test_the_control_token_is_the_password(box: sandbox.SandboxHandle) -> None:
    box.reset(sandbox.Options(control_token="let-me-in"))

    unknown, wrong = see(box), see(box, auth=("anyone", "guessed"))
    known = see(box, auth=("anyone", "let-me-in"))

    assert [unknown.status_code, wrong.status_code] == [401, 401]
    assert unknown.headers["WWW-Authenticate"].startswith("Basic")
    assert known.status_code == 200


def test_the_page_needs_a_token_if_other_machines_can_connect() -> None:
    with sandbox.serving(host="0.0.0.0") as open_box:  # noqa: S104 - that is the point
        port = open_box.url.rpartition(":")[2]
        assert requests.get(f"http://127.0.0.1:{port}/", timeout=5).status_code == 403


def test_other_methods_and_actions_are_refused(box: sandbox.SandboxHandle) -> None:
    nonce = re.search(r'name="nonce" value="([^"]+)"', see(box).text)
    assert nonce is not None

    assert requests.put(box.url, timeout=5).status_code == 405
    unknown = requests.post(box.url, {"nonce": nonce[1], "do": "dance"}, timeout=5)
    assert unknown.status_code == 400
