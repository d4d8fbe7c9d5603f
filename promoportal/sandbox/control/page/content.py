"""The content of the sandbox page, built from the same state as `/control/`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from promoportal.sandbox.control import state_view
from promoportal.sandbox.control.page.html import Child, Html, element, join, table
from promoportal.sandbox.faults import NOTICES, SIDES, kinds_of
from promoportal.sandbox.simulation import Sandbox

_LATEST = 15  # occurrences, the newest first
State = Mapping[str, Any]
Form = Callable[..., Html]


def page(sandbox: Sandbox, *, nonce: str, result: str, refresh: int | None) -> str:
    """Return the page. Its forms contain `nonce`, which other sites do not know."""
    state = state_view.state(sandbox)
    form = _former(nonce)
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width"),
        element("meta", http_equiv="refresh", content=refresh) if refresh else None,
        element("title", "Optimove sandbox"),
        element("link", rel="stylesheet", href="/page.css"),
    )
    told = element("p", result, class_="told", role="status") if result else None
    body = element("body", _top(state), told, *_sections(state, form))
    return f"<!doctype html>\n{element('html', head, body, lang='en')}"


def _former(nonce: str) -> Form:
    """Return a function that makes a form with one button and optional fields."""

    def form(label: str, do: str, *fields: Child, **hidden: str | int) -> Html:
        kept = {"nonce": nonce, "do": do, **hidden}
        inputs = [
            element("input", type="hidden", name=name, value=value)
            for name, value in kept.items()
        ]
        button = element("button", label, type="submit")
        return element("form", *inputs, *fields, button, method="post", action="/")

    return form


def _top(state: State) -> Html:
    scenario = state["scenario"]
    title = scenario["title"] if scenario else "No scenario"
    about = (
        f"{scenario['about']} {scenario['customers']:,} customers, "
        f"seed {scenario['seed']}."
        if scenario
        else "To load campaigns, tiers, budgets and emails, start the sandbox with "
        "--scenario."
    )
    links = element(
        "p",
        element("a", "Refresh", href="/"),
        " · ",
        element("a", "Refresh every 5 seconds", href="/?every=5"),
        " · JSON API: ",
        element("a", "/control/", href="/control/"),
    )
    name = element("p", "Optimove sandbox", class_="name")
    return element("header", name, element("h1", title), element("p", about), links)


def _sections(state: State, form: Form) -> Iterable[Html]:
    if state["scenario"]:
        yield _section("Campaigns", _campaigns(state, form))
        yield _section("Promotions", _promotions(state["promotions"], form))
    else:
        yield _section("Run a campaign", _without_scenario(form))
    yield _section("Executions", _occurrences(state["occurrences"]))
    yield _section("Fault injection", _faults(state["faults"], form))
    yield _section("Listeners", _listeners(state))
    yield _section("Platform", _platform(state["platform"]))
    yield _section("Recent requests", _rate(state["rate"]), _calls(state["calls"]))


def _section(title: str, *content: Html) -> Html:
    return element("section", element("h2", title), *content)


# --- Campaigns ----------------------------------------------------------------------------


def _campaigns(state: State, form: Form) -> Html:
    return table(
        ("ID", "Campaign", "Target group", "Promotions", "Schedule", "Executions", ""),
        [_campaign(one, form) for one in state["campaigns"]],
    )


def _campaign(one: State, form: Form) -> Sequence[Child]:
    if one["event"]:
        when = f"triggered by {one['event']}"
        customers = _number("customers", "customers", "")
        button = form("Trigger event", "event", customers, name=one["event"])
    else:
        when = f"scheduled, {one['at']} UTC" if one["at"] else "scheduled"
        button = form("Run now", "campaign", plan=one["plan"])
    promotions = ", ".join(one["promotions"])
    group = one["target_group"]["name"]
    times = len(one["executed"])
    return one["plan"], one["name"], group, promotions, when, times, button


def _without_scenario(form: Form) -> Html:
    return join(
        form("Run campaign", "execute", _number("customers", "customers", 100)),
        form("Trigger event", "trigger", _number("customers", "customers", 5)),
    )


# --- Promotions ---------------------------------------------------------------------------


def _promotions(promotions: Sequence[State], form: Form) -> Html:
    heads = ("Promotion", "Status", "Budget", "Cap", "Codes", "Recipients", "Redeemed")
    return table((*heads, ""), [_promotion(one, form) for one in promotions])


def _promotion(one: State, form: Form) -> Sequence[Child]:
    name = join(one["code"], element("small", one["name"]))
    return (
        name,
        one["state"],
        _budget(one["budget"]),
        _cap(one["cap"]),
        _codes(one["codes"]),
        f"{one['recipients']:,}",
        _redeemed(one),
        _life(one, form),
    )


def _budget(budget: State | None) -> Child:
    if budget is None:
        return "none"
    text = f"{budget['spent']} of {budget['total']} {budget['measure']}"
    return _used(text, budget["spent"], budget["total"])


def _cap(cap: State | None) -> Child:
    if cap is None:
        return "none"
    text = f"{cap['used']:,} of {cap['recipients']:,}, {cap['timeframe']}"
    return _used(text, cap["used"], cap["recipients"])


def _codes(codes: State | None) -> Child:
    if codes is None:
        return "one shared code"
    text = f"{codes['used']:,} of {codes['total']:,}"
    return _used(text, codes["used"], codes["total"])


def _redeemed(one: State) -> Child:
    if not one["recipients"]:
        return ""
    text = f"{one['redeemed']:,}, {one['redemption_rate']:.0%}"
    return _used(text, one["redeemed"], one["recipients"])


def _used(text: str, part: str | int, whole: str | int) -> Html:
    return join(element("meter", text, value=part, max=whole), element("small", text))


def _life(one: State, form: Form) -> Child:
    moves = {"Draft": "activate", "Active": "deactivate", "Deactivated": "activate"}
    do = moves.get(one["state"])
    return form(do.capitalize(), "promotion", id=one["id"], to=do) if do else None


# --- Executions ---------------------------------------------------------------------------


def _occurrences(occurrences: Sequence[State]) -> Html:
    heads = ("Execution", "Campaign", "Kind", "Listed", "Statuses", "Emails", "")
    rows = [_occurrence(one) for one in occurrences[-_LATEST:][::-1]]
    return _table_or("No executions yet.", heads, rows)


def _occurrence(one: State) -> Sequence[Child]:
    mails = one.get("mails", {})
    return (
        one["occurrence"],
        one.get("campaign", one["series"]),
        f"triggered by {one['event']}" if one.get("event") else "scheduled",
        f"{one['listed']:,}",
        ", ".join(f"{count:,} {name}" for name, count in one["statuses"].items()),
        _mails(mails) if mails else "",
        _how(one),
    )


def _mails(mails: State) -> str:
    where = f"to {mails['where']}" if mails["where"] else "not delivered"
    return f"{mails['sent']:,}, {where}"


def _how(one: State) -> str:
    if one["cancelled"]:
        return "cancelled"
    if one.get("problem"):
        return str(one["problem"])
    return "" if one.get("over", True) else "running"


# --- Faults -------------------------------------------------------------------------------


def _faults(faults: Sequence[State], form: Form) -> Html:
    heads = ("Fault", "Target", "Route", "Response", "Occurrences", "Duration")
    return join(
        form(
            "Reject rewards",
            "fault",
            _number("status", "HTTP status", 422),
            _text("text", "message", "The customer's account is closed."),
            _number("times", "times", "", empty="every time"),
            _number("lasts", "seconds", 60, empty="until removed"),
            kind="error_before",
            side="platform",
            route="POST rewards",
        ),
        form(
            "Add API fault",
            "fault",
            _choice("kind", kinds_of("vendor")),
            _choice("side", sorted(SIDES.keys() - {NOTICES})),
            _number("times", "times", 1, empty="every time"),
        ),
        form(
            "Add webhook fault",
            "fault",
            _choice("kind", kinds_of(NOTICES)),
            _number("times", "times", 1, empty="every time"),
            side=NOTICES,
        ),
        _table_or("No active faults.", heads, [_fault(one) for one in faults]),
        form("Remove all faults", "clear") if faults else None,
    )


def _fault(one: State) -> Sequence[Child]:
    lasts = f"{one['lasts']:,.0f} s left" if "lasts" in one else "until removed"
    answer = " ".join(str(one[name]) for name in ("status", "text") if name in one)
    times = one.get("times", "every time")
    return one["kind"], one["side"], one["route"], answer, times, lasts


# --- The rest -----------------------------------------------------------------------------


def _listeners(state: State) -> Html:
    notices = state["notices"]
    text = f"{notices['posted']:,} webhooks sent, {notices['pending']:,} in progress."
    rows = [
        (one["event"], one["channel"] or "any", one["to"]) for one in state["listeners"]
    ]
    heads = ("Event", "Channel", "Address")
    listed = _table_or("No listeners registered.", heads, rows)
    return join(listed, element("p", text))


def _platform(platform: State) -> Html:
    refused = sum(platform["refused"].values())
    text = f"{platform['credits']:,} rewards activated, {refused:,} requests rejected."
    return element("p", text)


def _rate(rate: State) -> Html:
    text = (
        f"{rate['calls']:,} Optimove calls, {rate['refused']:,} rejected. "
        f"Peak: {rate['most_in_any_window']:,} calls in {rate['seconds']:g} seconds "
        f"(limit {rate['limit']:,})."
    )
    return element("p", text)


def _calls(calls: Sequence[State]) -> Html:
    heads = ("Time (UTC)", "Target", "Request", "Response", "Duration", "Fault")
    return _table_or("No requests yet.", heads, [_call(one) for one in calls[::-1]])


def _call(one: State) -> Sequence[Child]:
    at = datetime.fromtimestamp(one["at"], UTC)
    status = one["status"] or "connection closed"
    took = f"{one['seconds'] * 1000:,.0f} ms"
    request = f"{one['method']} {one['path']}"
    return f"{at:%H:%M:%S}", one["side"], request, status, took, one["fault"]


def _table_or(
    nothing: str, heads: Sequence[str], rows: Sequence[Sequence[Child]]
) -> Html:
    return table(heads, rows) if rows else element("p", nothing, class_="nothing")


def _number(name: str, label: str, value: str | int, *, empty: str = "default") -> Html:
    """Return a number field, which shows `empty` while it has no value."""
    field = element(
        "input", type="number", name=name, value=value, min=1, placeholder=empty
    )
    return element("label", field, " ", label)


def _text(name: str, label: str, value: str) -> Html:
    field = element("input", name=name, value=value, size=30)
    return element("label", label, " ", field)


def _choice(name: str, values: Iterable[str]) -> Html:
    options = [element("option", value) for value in values]
    return element("select", *options, name=name, aria_label=name)
