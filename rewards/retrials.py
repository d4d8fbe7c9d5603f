"""Pages of trying again all that match a list: what it would do, and how far it is."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from django import forms
from django.contrib import admin
from django.db import connection, transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from executions.admin.moves import one_by_one
from executions.models import Stop
from promoportal import census
from promoportal.admin import log
from promoportal.admin.attention import PARAMETER
from promoportal.admin.deeds import Deed, Done
from promoportal.admin.narrowing import narrowed
from promoportal.admin.pages import Fact, Panel
from promoportal.admin.paging import NEWER, OLDER
from promoportal.admin.rows import ReadOnlyAdmin, when
from promoportal.admin.showing import link, list_of
from promoportal.admin.stateful import StatefulAdmin
from promoportal.callers import client_address
from rewards import deciding, retrying
from rewards.models import Assignment, Retrial, Retried, State, Trying

# Reasons for leaving rows alone that a preview tells apart.
MOST_REASONS = 12
# Of no more than these it is quick to look at each.
FEW = 1_000
# So many are looked at while somebody waits.
MOST_LOOKED_AT = 10_000
_LOOKED_AT = (
    *("state", "reason", "doubtful", "meaning", "vendor_status", "unit"),
    "execution__stop",
)
# What the census knows of a list, by what narrows it.
_OF_CENSUS = {
    "execution": "execution",
    "state__exact": "state",
    "reason__exact": "reason",
}
# What it does not know.
_CERTAIN = {"doubtful": False, "vendor_status": "something else"}


class RetryAllForm(forms.Form):
    """The reason, and what tells a second press from a second wish."""

    why = forms.CharField(
        max_length=500,
        error_messages={"required": "Say why; the reason is kept with every row."},
        widget=forms.TextInput(
            {"placeholder": "The reason, kept with every row", "autocomplete": "off"}
        ),
    )
    form = forms.UUIDField(widget=forms.HiddenInput, initial=uuid4)


Kind = Mapping[str, Any]
"""What of an assignment says whether it would be tried again."""


@dataclass
class Preview:
    """What trying them again would do, by the figures of now."""

    tried: int = 0
    values: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    left_alone: Counter[str] = field(default_factory=Counter)
    # What these figures do not tell, in a sentence.
    but: str = ""

    @property
    def count(self) -> str:
        return f"{self.tried:,}"

    @property
    def worth(self) -> str:
        sums = sorted(self.values.items())
        return ", ".join(f"{value:,.2f} {unit}" for unit, value in sums if unit)

    @property
    def reasons(self) -> list[tuple[str, str]]:
        most = self.left_alone.most_common(MOST_REASONS)
        return [(why, f"{count:,}") for why, count in most if count]

    @property
    def left(self) -> str:
        return f"{total:,}" if (total := self.left_alone.total()) else ""

    def add(self, kind: Kind, count: int, worth: Decimal) -> None:
        """So many of that kind; or so many fewer."""
        row = {name: kind[name] for name in _LOOKED_AT if "__" not in name}
        why_not = deciding.obstacle(Assignment(**row), Stop(kind["execution__stop"]))
        if why_not:
            self.left_alone[why_not] += count
        else:
            self.tried += count
            self.values[kind["unit"]] += worth


def preview(
    rows: QuerySet[Assignment],
    narrowed: Mapping[str, str],
    *,
    few: int = FEW,
    most: int = MOST_LOOKED_AT,
) -> Preview:
    """
    Count them, each kind by itself.

    A few are looked at. Of more the census tells, which costs the same of a million, if
    it knows how the list is `narrowed`; or else the newest of them, and it is said so.
    """
    found, kinds, known = Preview(), list(_kinds(rows, few)), _known(narrowed)
    if _are_all(kinds, few):
        _add(found, kinds)
    elif known is not None:
        _add(found, _counted(known))
        _tell_doubtful_apart(found, rows, most)
    else:
        _add_newest(found, rows, most)
    return found


Counts = Iterable[tuple[Kind, int, Decimal]]


def _add(found: Preview, kinds: Counts) -> None:
    for kind, count, worth in kinds:
        found.add(kind, count, worth)


def _add_newest(found: Preview, rows: QuerySet[Assignment], most: int) -> None:
    kinds = list(_kinds(rows, most))
    _add(found, kinds)
    if not _are_all(kinds, most):
        found.but = (
            "More match than can be looked at while you wait. These are the figures of "
            f"the newest {most + 1:,} alone; all that match would be tried."
        )


def _are_all(kinds: Counts, most: int) -> bool:
    return sum(count for _, count, _ in kinds) <= most


def _kinds(
    rows: QuerySet[Assignment], most: int
) -> Iterator[tuple[Kind, int, Decimal]]:
    """How many of each kind are among the first of the list, and one row more."""
    first = rows.values_list(*_LOOKED_AT, "value")[: most + 1]
    sql, params = first.query.sql_with_params()
    names = ", ".join(f'"{name}"' for name in _LOOKED_AT)
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT {names}, count(*), coalesce(sum(value), 0)"  # noqa: S608 - our own columns
            f" FROM ({sql}) AS looked_at ({names}, value) GROUP BY {names}",
            params,
        )
        for *said, count, worth in cursor.fetchall():
            yield dict(zip(_LOOKED_AT, said, strict=True)), count, worth


def _known(narrowed: Mapping[str, str]) -> dict[str, str] | None:
    """How the census says the same; None if it does not know of something."""
    said = {k: v for k, v in narrowed.items() if k not in {OLDER, NEWER}}
    if said.get(PARAMETER) == "held":
        said["state__exact"] = State.HELD
        del said[PARAMETER]
    if not said.keys() <= _OF_CENSUS.keys():
        return None
    return {_OF_CENSUS[name]: value for name, value in said.items()}


def _counted(known: Mapping[str, str]) -> Iterator[tuple[Kind, int, Decimal]]:
    """What the census counts, none of it in doubt."""
    for said in census.assignments(**known):
        kind = {
            **_CERTAIN,
            "state": said.state,
            "reason": said.reason,
            "meaning": said.meaning,
            "unit": said.unit,
            "execution__stop": said.stop,
        }
        yield kind, said.count, said.value


def _tell_doubtful_apart(found: Preview, rows: QuerySet[Assignment], most: int) -> None:
    """Of what is in doubt the census does not know."""
    doubtful = list(_kinds(rows.filter(state=State.HELD, doubtful=True), most))
    for kind, count, worth in doubtful:
        found.add({**kind, **_CERTAIN}, -count, -worth)
        found.add(kind, count, worth)
    if not _are_all(doubtful, most):
        found.but = (
            "More are in doubt than can be counted while you wait: more would be left "
            "alone, and fewer tried again."
        )


def begin(
    rows: QuerySet[Assignment],
    said: dict[str, Any],
    request: HttpRequest,
    *,
    narrowed: str,
) -> Retrial:
    """
    Begin it once, however often the form is sent, with one entry in the log; both say
    how the list was `narrowed`, in its own words.
    """
    form: UUID = said["form"]
    with transaction.atomic():
        is_new = not Retrial.objects.filter(form=form).exists()
        retrial = retrying.begin(
            rows, form=form, narrowed=narrowed, by=request.user, why=said["why"]
        )
        if is_new:
            _log(retrial, request)
    return retrial


def _log(row: Retrial, request: HttpRequest) -> None:
    where = row.narrowed or "all of them"
    said = f"Try again all that match: {row.why} ({row.total:,} chosen: {where})"
    kind = log.Kind.DONE_TO_ALL
    entry = log.entry(Retrial, kind, said, by=request.user, about=row)
    log.keep([entry], address=client_address(request.META))


def _move(service: Any, refused: str) -> Any:
    def move(rows: QuerySet[Retrial], by: Any, why: str) -> Done:
        return one_by_one(rows, service, lambda _: refused, by=by, why=why)

    return move


def _may(state: Trying, row: Retrial) -> bool:
    return row.state == state


@admin.register(Retrial)
class RetrialAdmin(StatefulAdmin[Retrial]):
    list_display = ("identity", "standing", "person", "said", "how_far")
    list_select_related = ("by",)
    list_filter = ("state",)
    labels = dict(Trying.choices)
    fields = ("person", "said", "of_which", "begun")
    begun = when("created_at", "begun")
    deeds = (
        Deed(
            "pause",
            "Pause",
            "rewards.retry_assignment",
            _move(retrying.pause, "it is not under way"),
            said=("is paused", "are paused"),
            fits=partial(_may, Trying.RUNNING),
        ),
        Deed(
            "resume",
            "Resume",
            "rewards.retry_assignment",
            _move(retrying.resume, "it is not paused"),
            said=("goes on", "go on"),
            fits=partial(_may, Trying.PAUSED),
        ),
        Deed(
            "cancel",
            "Cancel the rest",
            "rewards.retry_assignment",
            _move(retrying.cancel, "it is over"),
            said=("is cancelled", "are cancelled"),
            warning="What was tried again stays so; the rest is left as it is.",
            fits=lambda row: row.state in {Trying.RUNNING, Trying.PAUSED},
        ),
    )

    @admin.display(description="retrial")
    def identity(self, row: Retrial) -> str:
        return f"Retrial {row.pk}"

    @admin.display(description="by")
    def person(self, row: Retrial) -> str:
        return str(row.by)

    @admin.display(description="why")
    def said(self, row: Retrial) -> str:
        return row.why

    @admin.display(description="all that match")
    def of_which(self, row: Retrial) -> str:
        return row.narrowed or "(all of them)"

    @admin.display(description="how far it is")
    def how_far(self, row: Retrial) -> str:
        return f"{row.done + row.left_alone:,} of {row.total:,}"

    def heading(self, row: Retrial) -> str:
        return f"{row.total:,} tried again"

    def panels(self, row: Retrial) -> Iterable[Panel]:
        every = {"retrial": row.pk}
        yield Panel(
            "How far it is",
            "progress",
            facts=[
                Fact("chosen", f"{row.total:,}", list_of(Retried, **every), "main"),
                Fact("owed again", f"{row.done:,}", _list(row, "no"), "main"),
                Fact("left alone", f"{row.left_alone:,}", _list(row, "yes"), "main"),
            ],
            sentences=[_bar(row)],
            is_wide=True,
            is_live=row.state == Trying.RUNNING,
        )


def _list(row: Retrial, left_alone: str) -> str:
    return list_of(Retried, retrial=row.pk, left_alone=left_alone)


def _bar(row: Retrial) -> SafeString:
    over = row.done + row.left_alone
    return format_html(
        '<progress max="{}" value="{}" aria-label="How far it is"></progress> {}',
        max(row.total, 1),
        over if row.total else 1,
        f"{over:,} of {row.total:,}",
    )


class LeftAlone(admin.SimpleListFilter):
    """Whether it was tried again, or why not."""

    title = "whether it was left alone"
    parameter_name = "left_alone"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("no", "Owed again"), ("yes", "Left alone")]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Retried]
    ) -> QuerySet[Retried]:
        rows = {
            "no": queryset.filter(left_alone=""),
            "yes": queryset.exclude(left_alone=""),
        }
        return rows.get(self.value() or "", queryset)


@admin.register(Retried)
class RetriedAdmin(ReadOnlyAdmin[Retried]):
    list_display = ("identity", "outcome")
    list_select_related = ("assignment",)
    list_filter = (narrowed("retrial", Retrial), LeftAlone)
    fields = ("assignment_link", "retrial_link", "outcome")

    @admin.display(description="assignment")
    def identity(self, row: Retried) -> str:
        return f"{row.assignment.customer}: {row.assignment.reference}"

    @admin.display(description="assignment")
    def assignment_link(self, row: Retried) -> SafeString:
        return link(row.assignment)

    @admin.display(description="retrial")
    def retrial_link(self, row: Retried) -> SafeString:
        return link(row.retrial, f"Retrial {row.retrial_id}")

    @admin.display(description="what became of it")
    def outcome(self, row: Retried) -> str:
        return f"Left alone: {row.left_alone}" if row.left_alone else "Owed again"
