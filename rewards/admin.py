"""What each customer is owed, to look at and to decide about."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from executions.models import Campaign, Execution, Stop, Trigger
from executions.narrowing import OfCampaign
from promoportal import census, platforms
from promoportal.admin import pages
from promoportal.admin.attention import Attention
from promoportal.admin.days import days
from promoportal.admin.deeds import Deed, Done
from promoportal.admin.narrowing import narrowed, narrowed_by
from promoportal.admin.pages import Fact, Moment, Panel, moves_of
from promoportal.admin.rows import ReadOnlyAdmin, StatefulAdmin, when
from promoportal.admin.sheets import Sheet
from promoportal.admin.showing import (
    badge,
    exchange,
    link,
    list_of,
    moment,
    page_of,
    pretty,
    since,
    stamp,
    words,
)
from promoportal.leases import after
from promoportal.optimove import Meaning
from rewards import deciding, retrials, revealing, seconding
from rewards.models import Assignment, Attempt, Collecting, Collection, Promotion, State
from rewards.tiers import OfTier

# Settling takes a minute or two; what is unanswered for longer is looked at.
UNANSWERED_FOR = 15 * 60
MOST_SHOWN = 10
MOST_ATTEMPTS = 200


# --- Promotion ------------------------------------------------------------------------


def _report(mode: Promotion.Mode) -> Callable[[QuerySet[Promotion], Any, str], Done]:
    def set_mode(rows: QuerySet[Promotion], _by: Any, _why: str) -> Done:
        there = rows.count()
        others = rows.exclude(redemption_mode=mode)
        done = Done(done=others.update(redemption_mode=mode))
        if there > done.done:
            done.skipped["it is reported like this already"] += there - done.done
        return done

    return set_mode


def _mode(name: str, label: str, mode: Promotion.Mode, says: str) -> Deed:
    return Deed(
        name,
        label,
        "rewards.set_redemption_mode",
        _report(mode),
        said=(f"is {says} from now on", f"are {says} from now on"),
        fits=lambda row: row.redemption_mode != mode,
        is_only_logged=True,
    )


@admin.register(Promotion)
class PromotionAdmin(ReadOnlyAdmin[Promotion]):
    list_display = ("reference", "code", "reported", "first_seen")
    list_filter = ("redemption_mode",)
    finds = ("reference", "code")
    search_help_text = "A promotion's id or code, in full"
    fields = ("reference", "code", "reported", "first_seen")
    deeds = (
        _mode(
            "at_once", "Report at once", Promotion.Mode.TRIGGERED, "reported at once"
        ),
        _mode(
            "in_batches",
            "Report in batches",
            Promotion.Mode.SCHEDULED,
            "reported in batches",
        ),
        _mode("not_at_all", "Do not report", Promotion.Mode.OFF, "not reported"),
        _mode(
            "as_set",
            "Report as the portal is set",
            Promotion.Mode.DEFAULT,
            "reported as the portal is set",
        ),
    )
    first_seen = when("first_seen_at", "first seen")

    @admin.display(description="activations are reported")
    def reported(self, row: Promotion) -> str:
        return str(row.get_redemption_mode_display())

    def heading(self, row: Promotion) -> str:
        return f"Promotion {row.reference}"

    def panels(self, row: Promotion) -> Iterable[Panel]:
        href = list_of(Assignment, promotion=row.pk)
        yield Panel("Assignments", more=[("All assignments of this promotion", href)])


# --- Collection -----------------------------------------------------------------------


@admin.register(Collection)
class CollectionAdmin(StatefulAdmin[Collection]):
    list_display = (
        "execution_name",
        "status",
        "since",
        "why",
        "number",
        "pages",
        "seen",
        "total",
        "next_time",
    )
    list_display_links = ("execution_name",)
    list_select_related = ("execution",)
    list_filter = ("state", "reason")
    finds = ("execution__reference",)
    search_help_text = "An execution's id, in full"
    labels = dict(Collecting.choices)
    attention = (
        Attention(
            "held",
            "Collections are held",
            lambda: Q(state=Collecting.HELD),
            by_reason=True,
        ),
    )
    fieldsets = (
        (None, {"fields": ("execution_link", "problem_in_full")}),
        (
            "This pass",
            {"fields": ("number", "finished", "pages", "seen", "total", "restarts")},
        ),
        (
            "Work",
            {"fields": ("next_time", "failures", "malformed", "deaths", "waived")},
        ),
    )

    @admin.display(description="execution")
    def execution_name(self, row: Collection) -> str:
        return row.execution.reference

    @admin.display(description="execution")
    def execution_link(self, row: Collection) -> SafeString:
        return link(row.execution, row.execution.reference)

    @admin.display(description="next try")
    def next_time(self, row: Collection) -> SafeString:
        waits = row.state in {Collecting.WAITING, Collecting.COLLECTING}
        return moment(row.not_before if waits else None)

    def heading(self, row: Collection) -> str:
        return f"Collection of {row.execution.reference}"


# --- Assignment -----------------------------------------------------------------------


def _decide(
    service: Callable[..., deciding.Decided],
) -> Callable[[QuerySet[Assignment], Any, str], Done]:
    def decide(rows: QuerySet[Assignment], by: Any, why: str) -> Done:
        decided = service(rows, by=by, why=why)
        return Done(decided.done, decided.skipped)

    return decide


def _may_be_tried_again(row: Assignment) -> bool:
    return not deciding.obstacle(row, Stop(row.execution.stop))


def _may_be_released(row: Assignment) -> bool:
    return not deciding.obstacle_to_release(row, Stop(row.execution.stop))


def _may_be_said(row: Assignment) -> bool:
    return not deciding.obstacle_to_saying(row)


def _may_be_written_off(row: Assignment) -> bool:
    return not deciding.obstacle_to_writing_off(row)


# Where an execution's page leads to exactly the rows that it counts.
_BESIDE = (
    narrowed_by(
        "meaning__exact",
        "what Optimove's word means",
        {
            Meaning.ACTIVATE: ("to be given", Meaning.ACTIVATE),
            Meaning.NOTHING: ("nothing to give", Meaning.NOTHING),
            Meaning.CANCELLED: ("taken back", Meaning.CANCELLED),
            Meaning.UNKNOWN: ("not understood", Meaning.UNKNOWN),
        },
    ),
    narrowed_by(
        "redemption__isnull", "report", {"True": ("without a redemption", True)}
    ),
)


# What may hold a code, or what Optimove knows of a customer, and what stands for it.
_HIDDEN = {
    "unique_code": "masked_code",
    "vendors_row": "hidden_row",
    "what_is_sent": "hidden_order",
}
_NOT_SHOWN = "Not shown. Who may see it says why first."


@admin.register(Assignment)
class AssignmentAdmin(StatefulAdmin[Assignment]):
    list_display = (
        "who",
        "what",
        "status",
        "since",
        "why",
        "execution_link",
    )
    list_select_related = ("execution", "promotion")
    list_filter = (
        "state",
        "reason",
        "doubtful",
        "cancelled_too_late",
        OfCampaign,
        narrowed("execution", Execution),
        narrowed("promotion", Promotion),
        OfTier,
        *_BESIDE,
        days("created_at", "days it was listed on"),
    )
    finds = ("customer",)
    finds_uuid = ("key",)
    indexed = (
        *("campaign", "execution", "promotion", "state__exact", "reason__exact"),
        *("doubtful__exact=1", "cancelled_too_late__exact=1"),
        *("needs=held", "needs=in_doubt", "needs=unanswered"),
    )
    # Codes are money, and stay here.
    sheet = Sheet(
        "rewards.export_assignment",
        {
            "customer": "customer",
            "execution": "execution__reference",
            "promotion": "promotion__reference",
            "assignment": "reference",
            "value": "value",
            "unit": "unit",
            "state": "state",
            "since": "state_since",
            "reason": "reason",
            "in doubt": "doubtful",
            "assigned at": "assigned_at",
            "first sent at": "first_sent_at",
            "receipt": "receipt",
        },
    )
    search_help_text = "A customer's id or a key, in full"
    labels = dict(State.choices)
    attention = (
        Attention(
            "held",
            "Assignments are held",
            lambda: Q(state=State.HELD),
            by_reason=True,
            known=partial(census.held, census.Kind.ASSIGNMENT),
        ),
        Attention(
            "in_doubt",
            "Held assignments may have been given: find out, and say so",
            lambda: Q(state=State.HELD, doubtful=True),
        ),
        Attention(
            "proposed",
            "Doubtful assignments wait for a second person to say the same",
            lambda: Q(proposal__in=seconding.open_proposals()),
        ),
        Attention(
            "unanswered",
            "Assignments were sent, and had no answer for 15 minutes",
            lambda: Q(state=State.UNCERTAIN, state_since__lt=after(-UNANSWERED_FOR)),
        ),
    )
    deeds = (
        Deed(
            "retry",
            "Try again",
            "rewards.retry_assignment",
            _decide(deciding.retry),
            said=("will be tried again", "will be tried again"),
            fits=_may_be_tried_again,
        ),
        Deed(
            "release",
            "Give it all the same",
            "rewards.decide_assignment",
            _decide(deciding.release),
            said=("will be given all the same", "will be given all the same"),
            warning="The customer gets what was held because nobody may have meant it: "
            "a second reward, one past a limit, or one that Optimove changed. Say so "
            "only if CRM says that it is meant.",
            fits=_may_be_released,
        ),
        Deed(
            "given",
            "It was given",
            "rewards.decide_assignment",
            _decide(deciding.given),
            said=("counts as given now", "count as given now"),
            warning="It becomes active, is never sent to the platform again, and is "
            "reported to Optimove. Say so only if the platform's own books show that "
            "the customer has it.",
            fits=_may_be_said,
        ),
        Deed(
            "not_given",
            "It was not given",
            "rewards.decide_assignment",
            _decide(deciding.not_given),
            said=("is owed again", "are owed again"),
            warning="It is sent to the platform again. If the customer has it already, "
            "they get it twice: say so only if the platform's own books show that they "
            "do not.",
            fits=_may_be_said,
        ),
        Deed(
            "write_off",
            "Write off",
            "rewards.write_off_assignment",
            _decide(deciding.write_off),
            said=("is written off", "are written off"),
            warning="The reward will not be given: nothing tries it again.",
            fits=_may_be_written_off,
        ),
        revealing.REVEAL,
    )
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "customer_link",
                    "reward_in_words",
                    "promotion_link",
                    "execution_link",
                    "doubt",
                    "proposed",
                    "second",
                    "too_late",
                    "receipt",
                    "evidence",
                )
            },
        ),
        (
            "What the vendor said",
            {
                "fields": (
                    "reference",
                    "vendor_status",
                    "assigned",
                    "unique_code",
                    "vendors_row",
                )
            },
        ),
        (
            "What we made of it",
            {
                "fields": (
                    "meaning_in_words",
                    "reward_read",
                    "key",
                    "what_is_sent",
                    "first_sent",
                    "attempts",
                    "failures",
                    "deaths",
                )
            },
        ),
    )
    change_list_template = "admin/assignments.html"
    change_form_template = "admin/assignment.html"
    assigned = when("assigned_at")
    first_sent = when("first_sent_at", "first sent")

    def offered(self, row: Assignment, request: HttpRequest) -> list[Deed]:
        """Without what this person said already, and a second has to say."""
        deeds = super().offered(row, request)
        said = seconding.said_by(row, request.user) if row.doubtful else ""
        return [deed for deed in deeds if deed.name != said.lower()]

    def posted(self, request: HttpRequest) -> HttpResponseBase | None:
        """Ask what trying again all that match would do, and then do it."""
        if "retry_all" not in request.POST:
            return None
        if not request.user.has_perm("rewards.retry_assignment"):
            raise self.refused(
                request, "Try again all that match", "rewards.retry_assignment"
            )
        rows = self.get_changelist_instance(request).get_queryset(request)
        if rows.query.is_empty():
            return self._back(request, "Nothing was done: the list says why.")
        said = request.POST if "why" in request.POST else None
        form = retrials.RetryAllForm(said)
        if form.is_valid():
            retrial = retrials.begin(rows, form.cleaned_data, request)
            return HttpResponseRedirect(page_of(retrial))
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Try again all that match",
            "preview": retrials.preview(rows, request.GET.dict()),
            "form": form,
            "back": request.get_full_path(),
        }
        return TemplateResponse(request, "admin/retry_all.html", context)

    @admin.display(description="customer")
    def who(self, row: Assignment) -> str:
        return row.customer or "(not readable)"

    @admin.display(description="customer")
    def customer_link(self, row: Assignment) -> SafeString:
        if not row.customer:
            return SafeString(self.who(row))
        here = reverse("customer", args=[row.customer])
        return format_html('<a href="{}">{}</a>', here, row.customer)

    def problem_of(self, row: Assignment) -> str:
        return revealing.hidden(row.problem, row)

    @admin.display(description="reward")
    def what(self, row: Assignment) -> SafeString:
        beside = row.promotion.reference if row.promotion else ""
        return format_html('{}<span class="beside">{}</span>', worth(row), beside)

    @admin.display(description="reward")
    def reward_in_words(self, row: Assignment) -> str:
        return worth(row)

    @admin.display(description="promotion")
    def promotion_link(self, row: Assignment) -> SafeString:
        return link(row.promotion)

    @admin.display(description="execution")
    def execution_link(self, row: Assignment) -> SafeString:
        return link(row.execution, row.execution.reference)

    @admin.display(description="state")
    def status(self, row: Assignment) -> SafeString:
        shown = super().status(row)
        if not row.doubtful:
            return shown
        return format_html("{} {}", shown, stamp("doubt", "?", "In doubt"))

    @admin.display(description="in doubt")
    def doubt(self, row: Assignment) -> str:
        if not row.doubtful:
            return ""
        return "An attempt went unanswered: the customer may have it, or not."

    @admin.display(description="waits for a second person")
    def proposed(self, row: Assignment) -> SafeString:
        first = seconding.open_proposals().filter(assignment=row).first()
        if first is None:
            return _nothing()
        said = f"{first.by} says: {first.get_says_display()}. {first.why}"
        return format_html("{} {}", said, since(first.at))

    @admin.display(description="second assignment")
    def second(self, row: Assignment) -> str:
        if not row.repeated:
            return ""
        return "The customer has another of this promotion from the same execution."

    @admin.display(description="cancelled too late")
    def too_late(self, row: Assignment) -> str:
        if not row.cancelled_too_late:
            return ""
        return "It was taken back after the customer had it."

    def get_fieldsets(self, request: HttpRequest, obj: Assignment | None = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        if obj is not None and revealing.is_revealed(obj, request.user):
            return fieldsets
        return [
            (
                name,
                {"fields": [_HIDDEN.get(str(each), each) for each in told["fields"]]},
            )
            for name, told in fieldsets
        ]

    @admin.display(description="unique code")
    def masked_code(self, row: Assignment) -> str:
        return revealing.masked(row.unique_code)

    @admin.display(description="the row")
    def hidden_row(self, row: Assignment) -> str:
        return _NOT_SHOWN

    @admin.display(description="what is sent")
    def hidden_order(self, row: Assignment) -> str:
        return _NOT_SHOWN if row.order else ""

    @admin.display(description="the row")
    def vendors_row(self, row: Assignment) -> SafeString:
        return pretty(row.as_assigned)

    @admin.display(description="its status means")
    def meaning_in_words(self, row: Assignment) -> str:
        return row.meaning

    @admin.display(description="reward")
    def reward_read(self, row: Assignment) -> SafeString:
        return pretty(row.reward)

    @admin.display(description="what is sent")
    def what_is_sent(self, row: Assignment) -> SafeString:
        return pretty(row.order)

    def heading(self, row: Assignment) -> str:
        return f"{worth(row) or 'Assignment'} for {row.customer or 'nobody'}"

    def story(self, row: Assignment) -> Iterable[Moment]:
        yield Moment(
            at=row.created_at,
            what="Listed by the vendor",
            why=f"Its status was {row.vendor_status}." if row.vendor_status else "",
        )
        for moved in super().story(row):
            yield replace(moved, why=revealing.hidden(moved.why, row))
        latest = row.history.order_by("-begun_at", "-pk")[:MOST_ATTEMPTS]
        for attempt in latest:
            yield _attempted(row, attempt)


def worth(row: Assignment) -> str:
    """What it is worth, in a few words."""
    if not row.reward:
        return "A code" if row.unique_code else ""
    said = row.reward
    amount = (
        f"{said.get('value') or ''} {said.get('currency') or said.get('unit') or ''}"
    )
    kind, tier = said.get("type") or said.get("category") or "", said.get("tier")
    return " ".join(f"{amount} {kind} {f'({tier})' if tier else ''}".split())


def _attempted(row: Assignment, attempt: Attempt) -> Moment:
    """One call: what was sent, what came back, and what that means."""
    outcome = attempt.get_outcome_display() if attempt.outcome else "Under way"
    status = f", HTTP {attempt.status}" if attempt.status else ""
    took = f", {attempt.duration_ms} ms" if attempt.duration_ms is not None else ""
    return Moment(
        at=attempt.begun_at,
        what=f"{attempt.get_kind_display()}, attempt {attempt.number}",
        why=f"{outcome}{status}{took}.",
        detail=exchange(_sent(row, attempt), _came_back(row, attempt)),
    )


def _sent(row: Assignment, attempt: Attempt) -> SafeString:
    if attempt.outcome == Attempt.Outcome.NOT_SENT or row.key is None:
        return SafeString("Nothing")
    call = platforms.asks(attempt.kind.lower(), row.key)
    said = format_html("<code>{}</code> ", call) if call else _nothing()
    if attempt.kind == Attempt.Kind.LOOK_UP:
        return said or format_html("A question about the key <code>{}</code>", row.key)
    return format_html("{}The body above, under the key <code>{}</code>", said, row.key)


def _came_back(row: Assignment, attempt: Attempt) -> SafeString:
    said = revealing.hidden(attempt.answer, row)
    return words(said, "Nothing" if attempt.outcome else "Nothing yet")


def _nothing() -> SafeString:
    return SafeString("")


# --- On the pages of earlier rooms ----------------------------------------------------


@pages.panel(Execution)
def collected(execution: Execution) -> Panel | None:
    """How far its list is collected."""
    row = Collection.objects.filter(execution=execution).first()
    if row is None:
        return Panel("Collection", sentences=["Nothing was collected yet."])
    of = f" of {row.total:,}" if row.total is not None else ""
    facts = [
        Fact("passes begun", f"{row.number:,}"),
        Fact("rows seen in the last", f"{row.seen:,}{of}"),
    ]
    said = [badge(row.state, str(row.get_state_display())), since(row.state_since)]
    return Panel(
        "Collection",
        facts=facts,
        sentences=[
            format_html("{} {}", *said),
            *([row.problem] if row.problem else []),
        ],
        more=[("How it was collected", page_of(row))],
    )


@pages.story(Execution)
def passes(execution: Execution) -> list[Moment]:
    """When its list was asked for, by whom and why, and when it was through."""
    row = Collection.objects.filter(execution=execution).first()
    return moves_of(row, dict(Collecting.choices), what="Collection:") if row else []


@pages.panel(Campaign)
def assigned_by(campaign: Campaign) -> Panel:
    """The way to all that it assigned."""
    href = list_of(Assignment, campaign=campaign.pk)
    return Panel("Assignments", more=[("All assignments of this campaign", href)])


@pages.panel(Trigger)
def assigned(trigger: Trigger) -> Panel | None:
    """What the customer was assigned by it."""
    found = Assignment.objects.filter(
        execution=trigger.execution_id, customer=trigger.customer
    )
    rows = [
        (
            link(row, worth(row) or str(row)),
            badge(row.state, str(row.get_state_display())),
        )
        for row in found.order_by("-pk")[:MOST_SHOWN]
    ]
    if not rows:
        return Panel("Assignments", sentences=["The vendor lists none yet."])
    return Panel("Assignments", columns=("Reward", "State"), rows=rows)
