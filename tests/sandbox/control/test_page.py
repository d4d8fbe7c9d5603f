"""The vendor's page: what it shows, what its forms do, and who may."""

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


def see(box: sandbox.SandboxHandle, **how: Any) -> requests.Response:
    return requests.get(box.url, timeout=10, **how)


def text_of(answer: requests.Response) -> str:
    return html.unescape(re.sub(r"<[^>]*>", " ", answer.text))


def send(box: sandbox.SandboxHandle, **fields: object) -> str:
    """Send a form of the page as a browser does; gives what is told then."""
    nonce = re.search(r'name="nonce" value="([^"]+)"', see(box).text)
    assert nonce is not None
    answer = requests.post(box.url, {"nonce": nonce[1], **fields}, timeout=10)
    assert answer.status_code == 200
    told = re.search(r'<p class="told"[^>]*>(.*?)</p>', answer.text)
    assert told is not None
    return html.unescape(told[1])


def form_of(answer: requests.Response, button: str) -> dict[str, str]:
    """The fields of the form with this button, as they come filled in."""
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


# --- What it shows ------------------------------------------------------------------------


def test_it_shows_campaigns_and_what_is_used_of_budget_cap_and_codes(
    set_up: sandbox.SandboxHandle,
) -> None:
    set_up.campaign(SCHEDULED)

    said = text_of(see(set_up))
    for part in ("By hand", "Monthly", "triggered by deposit", "PROMO-20"):
        assert part in said
    assert re.search(r"[\d.]+ of 100.00 EUR", said)
    assert re.search(r"\d of 9, lifetime", said)
    assert "2 of 2" in said
    assert re.search(r"\d+ BudgetExceeded", said)


def test_it_shows_faults_listeners_and_requests_without_secrets(
    set_up: sandbox.SandboxHandle,
) -> None:
    set_up.register(13, "http://127.0.0.1:9/webhooks/a-secret")
    set_up.order(Fault(kind="slow", side="platform"))
    requests.get(f"{set_up.url}/optimove/General/GetLanguages", timeout=5)

    said = text_of(see(set_up))

    assert "slow" in said
    assert "GET General/GetLanguages" in said
    assert "127.0.0.1:9" in said
    assert "a-secret" not in said


def test_nothing_that_is_shown_becomes_markup(box: sandbox.SandboxHandle) -> None:
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


def test_its_style_comes_from_where_its_policy_allows(
    box: sandbox.SandboxHandle,
) -> None:
    style = requests.get(f"{box.url}/page.css", timeout=5)

    assert '<link rel="stylesheet" href="/page.css">' in see(box).text
    assert style.headers["Content-Type"].startswith("text/css")
    assert "style=" not in see(box).text


def test_it_loads_itself_anew_only_for_whom_asks(box: sandbox.SandboxHandle) -> None:
    assert "refresh" not in see(box).text.partition("<body>")[0]
    every = see(box, params={"every": "5"}).text
    assert '<meta http-equiv="refresh" content="5">' in every


# --- What its forms do --------------------------------------------------------------------


def test_a_campaign_is_executed(set_up: sandbox.SandboxHandle) -> None:
    told = send(set_up, do="campaign", plan=SCHEDULED)

    assert re.fullmatch(r"Campaign 120 was executed: execution \d+\.", told)
    assert set_up.promotion("promo-20")["recipients"] > 0


def test_customers_do_something_that_triggers_one(
    set_up: sandbox.SandboxHandle,
) -> None:
    # Nobody says how much they deposit, so that nobody gets a part of it.
    assert send(set_up, do="event", name="deposit", customers=4) == (
        "Deposit: 0 customers got something."
    )


def test_without_a_scenario_customers_are_generated(box: sandbox.SandboxHandle) -> None:
    executed = send(box, do="execute", customers=12)
    triggered = send(box, do="trigger", customers=3)

    assert executed.endswith("lists 12 customers.")
    assert triggered.endswith("was triggered by 3 customers.")


def test_a_promotion_is_deactivated_and_activated_again(
    set_up: sandbox.SandboxHandle,
) -> None:
    off = send(set_up, do="promotion", id="promo-20", to="deactivate")
    state = set_up.promotion("promo-20")["state"]
    on = send(set_up, do="promotion", id="promo-20", to="activate")

    assert (off, state) == ("PROMO-20 is Deactivated now.", "Deactivated")
    assert on == "PROMO-20 is Active now."


def test_a_bad_day_is_ordered_and_taken_back(box: sandbox.SandboxHandle) -> None:
    told = send(box, do="fault", kind="lost_answer", side="platform", times=3)
    ordered = box.faults
    back = send(box, do="clear")

    assert told == "Ordered: lost_answer of platform, 3 times."
    assert [(one.kind, one.side, one.times) for one in ordered] == [
        ("lost_answer", "platform", 3)
    ]
    assert (back, box.faults) == ("No fault is ordered any more.", [])


def test_the_platform_refuses_for_a_while_and_what_is_asked_is_not_refused(
    box: sandbox.SandboxHandle, operator: Operator
) -> None:
    order = form_of(see(box), "Let the platform refuse")
    said = send(box, **order | {"lasts": 30})
    shown = text_of(see(box))

    refused = operator.reward(ORDER, key="k1")
    asked = operator.look_up("k1")
    send(box, do="clear")
    taken = operator.reward(ORDER, key="k1")

    assert said == "Ordered: error_before of platform, each time for 30 s."
    assert "422 The customer's account is closed." in shown
    assert (refused.status_code, refused.json()) == (
        422,
        "The customer's account is closed.",
    )
    assert (asked.status_code, taken.status_code) == (404, 201)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"do": "campaign", "plan": "999"}, "There is no campaign 999; there is 120"),
        ({"do": "campaign", "plan": "-1"}, "plan must be a whole number."),
        ({"do": "event", "name": "dance"}, "No campaign waits for 'dance'"),
        ({"do": "fault", "kind": "no", "side": "any"}, "kind for any"),
        ({"do": "promotion", "id": "promo-20", "to": "eat"}, "do must be one of"),
        ({**SLOW, "status": "42"}, "status must be from 200 to 599."),
        ({**SLOW, "lasts": "86401"}, "lasts must be from 0 to 86,400."),
    ],
)
def test_what_cannot_be_done_is_told_in_a_sentence(
    set_up: sandbox.SandboxHandle, fields: dict[str, str], sentence: str
) -> None:
    told = send(set_up, **fields)

    assert told.startswith("Nothing was done. ")
    assert sentence in told


# --- Who may ------------------------------------------------------------------------------


@pytest.mark.parametrize("nonce", ["", "guessed"])
def test_a_form_of_another_page_does_nothing(
    box: sandbox.SandboxHandle, nonce: str
) -> None:
    form = {"nonce": nonce, "do": "execute", "customers": "5"}

    assert requests.post(box.url, form, timeout=5).status_code == 403
    assert not box.notices


def test_a_page_that_names_this_machine_otherwise_sees_nothing(
    box: sandbox.SandboxHandle,
) -> None:
    answer = see(box, headers={"Host": "rebound.example"})

    assert answer.status_code == 403
    assert "nonce" not in answer.text


def test_with_a_control_token_it_is_the_password(box: sandbox.SandboxHandle) -> None:
    box.reset(sandbox.Options(control_token="let-me-in"))

    unknown, wrong = see(box), see(box, auth=("anyone", "guessed"))
    known = see(box, auth=("anyone", "let-me-in"))

    assert [unknown.status_code, wrong.status_code] == [401, 401]
    assert unknown.headers["WWW-Authenticate"].startswith("Basic")
    assert known.status_code == 200


def test_where_others_can_connect_nothing_is_shown_without_a_token() -> None:
    with sandbox.serving(host="0.0.0.0") as open_box:  # noqa: S104 - that is the point
        port = open_box.url.rpartition(":")[2]
        assert requests.get(f"http://127.0.0.1:{port}/", timeout=5).status_code == 403


def test_other_methods_and_deeds_are_refused(box: sandbox.SandboxHandle) -> None:
    nonce = re.search(r'name="nonce" value="([^"]+)"', see(box).text)
    assert nonce is not None

    assert requests.put(box.url, timeout=5).status_code == 405
    unknown = requests.post(box.url, {"nonce": nonce[1], "do": "dance"}, timeout=5)
    assert unknown.status_code == 400
