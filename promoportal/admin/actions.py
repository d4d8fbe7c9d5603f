"""Actions of staff on rows, each with its permission, warning and audit entry."""

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
from promoportal.db import row_versions
from promoportal.db.bulk_result import BulkResult, SkipKind, SkipReason
from promoportal.db.row_versions import Seen
from promoportal.db.state_machine import IllegalMove, LostRace, Stateful
from promoportal.runtime.time_budget import TimeBudget

# Maximum number of rows in one request: a user waits for the response.
MAX_ROWS = 5_000
# Number of rows that are changed between two checks of the time.
BATCH_SIZE = 100
# Maximum number of different reasons for skipped rows in a message.
MAX_REASONS = 5


class Act(Protocol):
    """
    A service that changes rows, and stores the user `by` and the reason `why`.

    It skips each row that differs from the version in `seen`.
    """

    def __call__(
        self, rows: QuerySet[Any], *, by: Any, why: str, seen: Seen | None = None
    ) -> BulkResult: ...


def each_row(
    service: Callable[..., Any],
    refused: str | Callable[[Any], str],
    *related: str,
    compares: bool = False,
) -> Act:
    """
    Return an `Act` that calls `service` for one row after the other.

    A row is skipped if its state does not allow the change. The reason is `refused`, or
    what `refused` returns for the row. `related` names rows to fetch with each row. A
    row that differs from the seen version is skipped. The service must compare and set
    its state. If it `compares` more than the state under a lock, it takes `seen`.
    """

    def act(
        rows: QuerySet[Any], *, by: Any, why: str, seen: Seen | None = None
    ) -> BulkResult:
        result = BulkResult()
        chosen = rows.select_related(*related) if related else rows
        more = {"seen": seen} if compares else {}
        for row in chosen.order_by("pk"):
            changed = row_versions.changed(row, seen)
            result.record(row, changed or skipped(row, by=by, why=why, **more))
        return result

    def skipped(row: Any, **context: Any) -> SkipReason | None:
        try:
            service(row, **context)
        except IllegalMove:
            sentence = refused if isinstance(refused, str) else refused(row)
            return SkipReason(SkipKind.WRONG_STATE, sentence)
        except LostRace:
            return row_versions.CHANGED
        return None

    return act


@dataclass(frozen=True)
class Action:
    """
    One action on rows, offered above their list and on a row's page.

    `said` ends the sentences "1 assignment ..." and "2 assignments ...". The user must
    confirm an action that has a `warning`, which describes the effect, or a `plan`,
    which calculates the effect. `fits` decides whether a row's page offers the action.
    The service checks the row again.
    """

    name: str
    label: str
    permission: str
    act: Act
    said: tuple[str, str]
    warning: str = ""
    plan: Callable[[QuerySet[Any]], Iterable[Panel]] | None = None
    fits: Callable[[Any], bool] = lambda _: True
    # A row's page offers the action behind "More", because it is rarely needed.
    is_aside: Callable[[Any], bool] = lambda _: False
    # Lists offer the action too, and not only a row's page.
    in_list: bool = True
    # The page of a customer offers the action.
    for_support: bool = False
    # The parts of a row's version on which the action depends; None means all parts.
    # An action that decides nothing depends on no part.
    about: Sequence[str] | None = None
    # The decision that a second approval must confirm; see `Actions.proposed`.
    proposes: str = ""
    # The action has no record but its audit entry, so they share a transaction.
    is_only_logged: bool = False
    kind: audit_log.AuditKind = audit_log.AuditKind.DONE
    # Seconds after which no further batch begins; gunicorn ends a request after 60.
    seconds: float = 20

    @property
    def asks_first(self) -> bool:
        return bool(self.warning or self.plan)

    def parts(self, model: type[Model]) -> Sequence[str]:
        """Return the names of the parts that a form must have seen of each row."""
        return [*row_versions.parts_of(model)] if self.about is None else self.about

    def perform(
        self,
        model: type[Model],
        keys: Sequence[Any],
        *,
        by: Any,
        why: str,
        address: str,
        seen: Seen,
    ) -> BulkResult:
        """
        Change the rows with these keys in batches; begin no batch after `seconds`.

        A row is skipped if it differs from the version in `seen`, or has none there.
        Each row gets an audit entry with the figures of the row's batch, and `address`.
        """
        parts = self.parts(model)
        known = {pk: row_versions.only(seen.get(pk, ""), parts) for pk in keys}
        budget, result = TimeBudget(self.seconds), BulkResult(unreached=len(keys))
        for start in range(0, len(keys), BATCH_SIZE):
            if start and budget.is_spent():
                break
            batch = keys[start : start + BATCH_SIZE]
            rows = without_bodies(model._base_manager.filter(pk__in=batch))
            result.add_counts(
                self._do(rows, by, why, address, known if parts else None)
            )
            result.unreached -= len(batch)
        return result

    def _do(
        self, rows: QuerySet[Any], by: Any, why: str, address: str, seen: Seen | None
    ) -> BulkResult:
        with transaction.atomic() if self.is_only_logged else nullcontext():
            result = self.act(rows, by=by, why=why, seen=seen)
            text = f"{self.label}: {why}{_figures(result)}"
            audit_log.record(self.kind, text, by=by, about=result.rows, address=address)
        return result

    def tell(self, result: BulkResult, model: type[Model]) -> str:
        """Return sentences that say how many rows were changed and skipped, and why."""
        sentences = [f"{count_of(result.done, model)} {self.said[result.done != 1]}."]
        named = result.skipped.most_common(MAX_REASONS)
        for reason, count in named:
            verb = "was" if count == 1 else "were"
            sentence = reason.sentence.rstrip(".")
            sentences.append(f"{count:,} {verb} left alone: {sentence}.")
        if rest := result.skipped.total() - sum(count for _, count in named):
            sentences.append(f"{rest:,} more were left alone for other reasons.")
        if result.unreached:
            sentences.append(
                f"{result.unreached:,} were not reached in time; do it again for them."
            )
        return " ".join(sentences)


def state_label(row: Any) -> str:
    is_stateful = isinstance(row, Stateful)
    return str(row.get_state_display()) if is_stateful else ""


@dataclass(frozen=True)
class Actions:
    """
    The actions on the rows of one model.

    If the one chosen row changed since its page was opened, a message shows the row's
    `state_label`. `proposed` returns the decision that the user has proposed for the
    row, if any.
    """

    actions: Sequence[Action] = ()
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
        """Return the allowed actions that fit the row and are not proposed already."""
        fitting = [action for action in self.allowed(user) if action.fits(row)]
        if not any(action.proposes for action in fitting):
            return fitting
        proposed = self.proposed(row, user)
        return [each for each in fitting if not proposed or each.proposes != proposed]


class ReasonForm(forms.Form):
    why = forms.CharField(
        label="Why",
        max_length=500,
        error_messages={"required": "Say why; the reason is kept with every row."},
        widget=forms.TextInput(
            {"placeholder": "The reason, kept with every row", "autocomplete": "off"}
        ),
    )


class ActionForm(ReasonForm):
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
    """Return a number of rows in words, for example "2 assignments"."""
    options = model._meta
    name = options.verbose_name if number == 1 else options.verbose_name_plural
    return f"{number:,} {name}"


def _figures(result: BulkResult) -> str:
    total = result.done + result.skipped.total()
    if total == 1:
        return "".join(f" (left alone: {reason})" for reason in result.skipped)
    return f" (done to {result.done:,} of the {total:,} taken together)"
