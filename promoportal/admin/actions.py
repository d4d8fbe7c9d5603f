"""Actions that staff take on rows, each with its permission, its warning and its audit entry."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

from django import forms
from django.db import transaction
from django.db.models import Model, QuerySet

from promoportal.admin import audit_log
from promoportal.admin.panels import Panel
from promoportal.admin.querysets import without_bodies
from promoportal.db.bulk_result import BulkResult, SkipKind, SkipReason
from promoportal.db.state_machine import IllegalMove, LostRace, Stateful
from promoportal.runtime.time_budget import TimeBudget

# Rows that one request takes at most: staff wait for its response.
MAX_ROWS = 5_000
# Rows between two looks at the clock.
BATCH_SIZE = 100
# Different reasons for skipped rows that a message names.
MAX_REASONS = 5


class Act(Protocol):
    """A service that changes rows: who does it (`by`) and the reason (`why`) are stored."""

    def __call__(self, rows: QuerySet[Any], *, by: Any, why: str) -> BulkResult: ...


def each_row(
    service: Callable[..., Any], refused: str | Callable[[Any], str], *related: str
) -> Act:
    """
    Return an action that calls `service` for one row after the other.

    Rows that their state machine does not allow to move are skipped; `refused` says
    why. `related` names the related rows that the service needs.
    """

    def act(rows: QuerySet[Any], *, by: Any, why: str) -> BulkResult:
        result = BulkResult()
        chosen = rows.select_related(*related) if related else rows
        for row in chosen.order_by("pk"):
            result.record(row, skipped(row, by=by, why=why))
        return result

    def skipped(row: Any, **how: Any) -> SkipReason | None:
        try:
            service(row, **how)
        except IllegalMove:
            sentence = refused if isinstance(refused, str) else refused(row)
            return SkipReason(SkipKind.WRONG_STATE, sentence)
        except LostRace:
            return SkipReason(SkipKind.CHANGED, "it moved on meanwhile")
        return None

    return act


@dataclass(frozen=True)
class Action:
    """
    One action on rows, offered above their list and on a row's page.

    `said` ends the sentences "1 assignment ..." and "2 assignments ...". An action with
    a `warning`, which says what will happen, or with a `plan`, which computes it, is
    confirmed first. `fits` decides whether a row's page offers the action; the service
    checks again.
    """

    name: str
    label: str
    permission: str
    act: Act
    said: tuple[str, str]
    warning: str = ""
    plan: Callable[[QuerySet[Any]], Iterable[Panel]] | None = None
    fits: Callable[[Any], bool] = lambda _: True
    # Whether a row's page offers it behind "More", because it is rarely wanted there.
    is_aside: Callable[[Any], bool] = lambda _: False
    # Whether lists offer it too, and not only a row's page.
    in_list: bool = True
    # Whether the page of a customer offers it.
    for_support: bool = False
    # What it proposes if it takes a second approval; see `Actions.proposed`.
    proposes: str = ""
    # Whether the audit log is its only trace: then both are stored, or neither.
    is_only_logged: bool = False
    kind: audit_log.AuditKind = audit_log.AuditKind.DONE
    # Seconds after which no further batch begins; gunicorn ends a request after 60.
    seconds: float = 20

    @property
    def asks_first(self) -> bool:
        return bool(self.warning or self.plan)

    def perform(
        self,
        model: type[Model],
        keys: Sequence[Any],
        *,
        by: Any,
        why: str,
        address: str,
    ) -> BulkResult:
        """
        Do it to the rows with these keys, batch by batch, until the time is over.

        Each row gets an audit entry with the figures of its batch and the address.
        """
        budget, result = TimeBudget(self.seconds), BulkResult(unreached=len(keys))
        for start in range(0, len(keys), BATCH_SIZE):
            if start and budget.is_spent():
                break
            batch = keys[start : start + BATCH_SIZE]
            rows = without_bodies(model._base_manager.filter(pk__in=batch))
            result.add_counts(self._do(rows, by, why, address))
            result.unreached -= len(batch)
        return result

    def _do(self, rows: QuerySet[Any], by: Any, why: str, address: str) -> BulkResult:
        with transaction.atomic() if self.is_only_logged else nullcontext():
            result = self.act(rows, by=by, why=why)
            said = f"{self.label}: {why}{_figures(result)}"
            audit_log.record(self.kind, said, by=by, about=result.rows, address=address)
        return result

    def tell(self, result: BulkResult, model: type[Model]) -> str:
        """Return what was done and what was skipped, in whole sentences."""
        sentences = [f"{count_of(result.done, model)} {self.said[result.done != 1]}."]
        named = result.skipped.most_common(MAX_REASONS)
        for reason, count in named:
            were = "was" if count == 1 else "were"
            said = reason.sentence.rstrip(".")
            sentences.append(f"{count:,} {were} left alone: {said}.")
        if rest := result.skipped.total() - sum(count for _, count in named):
            sentences.append(f"{rest:,} more were left alone for other reasons.")
        if result.unreached:
            sentences.append(
                f"{result.unreached:,} were not reached in time; do it again for them."
            )
        return " ".join(sentences)


def state_and_time(row: Any) -> str:
    """Return a token that changes whenever the row changes its state."""
    is_stateful = isinstance(row, Stateful)
    return f"{row.state} {row.state_since.isoformat()}" if is_stateful else ""


def state_label(row: Any) -> str:
    is_stateful = isinstance(row, Stateful)
    return str(row.get_state_display()) if is_stateful else ""


@dataclass(frozen=True)
class Actions:
    """
    The actions on the rows of one model.

    A page sends the `version_token` of its row: an action is refused if the row changed
    since, with its `state_label`. `proposed` returns what a user has proposed already.
    """

    actions: Sequence[Action] = ()
    version_token: Callable[[Any], str] = state_and_time
    state_label: Callable[[Any], str] = state_label
    proposed: Callable[[Any, Any], str] = lambda _row, _user: ""

    def __iter__(self) -> Iterator[Action]:
        return iter(self.actions)

    def named(self, name: str | None) -> Action | None:
        return next((action for action in self if action.name == name), None)

    def allowed(self, user: Any) -> list[Action]:
        """Return the actions that the user's role permits."""
        return [action for action in self if user.has_perm(action.permission)]

    def available_actions(self, row: Any, user: Any) -> list[Action]:
        """Return the actions that this user may take on this row as it is."""
        fitting = [action for action in self.allowed(user) if action.fits(row)]
        if not any(action.proposes for action in fitting):
            return fitting
        proposed = self.proposed(row, user)
        return [each for each in fitting if not proposed or each.proposes != proposed]


class ReasonForm(forms.Form):
    """The reason for an action."""

    why = forms.CharField(
        label="Why",
        max_length=500,
        error_messages={"required": "Say why; the reason is kept with every row."},
        widget=forms.TextInput(
            {"placeholder": "The reason, kept with every row", "autocomplete": "off"}
        ),
    )


class ActionForm(ReasonForm):
    """The chosen action, and the reason for it."""

    action = forms.ChoiceField(label="Do this", widget=forms.Select())
    select_across = forms.BooleanField(
        required=False,
        initial=0,
        widget=forms.HiddenInput({"class": "select-across"}),
    )

    def __init__(self, actions: Iterable[Action], data: Any = None) -> None:
        super().__init__(data, auto_id="do_%s")
        field: Any = self.fields["action"]
        field.choices = [("", "..."), *((each.name, each.label) for each in actions)]


def count_of(number: int, model: type[Model]) -> str:
    """Return a number of rows in words: "2 assignments"."""
    options = model._meta
    name = options.verbose_name if number == 1 else options.verbose_name_plural
    return f"{number:,} {name}"


def _figures(result: BulkResult) -> str:
    taken = result.done + result.skipped.total()
    if taken == 1:
        return "".join(f" (left alone: {reason})" for reason in result.skipped)
    return f" (done to {result.done:,} of the {taken:,} taken together)"
