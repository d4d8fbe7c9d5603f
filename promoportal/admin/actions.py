"""The same deed, done to many rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from django import forms
from django.db import transaction
from django.db.models import Model, QuerySet

from promoportal.admin import audit_log
from promoportal.admin.panels import Panel
from promoportal.admin.querysets import without_bodies
from promoportal.db.bulk_result import BulkResult
from promoportal.db.state_machine import IllegalMove, LostRace
from promoportal.runtime.time_budget import TimeBudget


def one_by_one(
    rows: QuerySet[Any],
    act: Callable[..., Any],
    refused: Callable[[Any], str],
    **how: Any,
) -> BulkResult:
    """Do it to each row; those that may not go there stay, and `refused` says why."""
    done = BulkResult()
    for row in rows.order_by("pk"):
        try:
            act(row, **how)
        except IllegalMove:
            done.skipped[refused(row)] += 1
        except LostRace:
            done.skipped["it moved on meanwhile"] += 1
        else:
            done.done += 1
    return done


# One press moves so many at most, as long as the time lasts: somebody waits for it.
MAX_ROWS = 5_000
# So many are taken one after the other before the time is looked at.
TOGETHER = 100
# So many different reasons for leaving rows alone are told apart.
MAX_REASONS = 5


@dataclass(frozen=True)
class Action:
    """
    One thing that may be done about rows, from their list and from a row's page.

    `said` ends the sentence "1 assignment ..." and "2 assignments ...". With a
    `warning`, which says what will happen, or a `plan`, which finds out what would, it
    is asked about first. `fits` says whether a row's page should offer it; the service
    decides anyway.
    """

    name: str
    label: str
    permission: str
    act: Callable[[QuerySet[Any], Any, str], BulkResult]
    said: tuple[str, str]
    warning: str = ""
    plan: Callable[[QuerySet[Any]], Iterable[Panel]] | None = None
    fits: Callable[[Any], bool] = lambda _: True
    # Offered behind "More", where few will want it.
    is_aside: Callable[[Any], bool] = lambda _: False
    # About one row, from its page alone.
    in_list: bool = True
    # The log is all that tells of it, so both are kept or neither.
    is_only_logged: bool = False
    # As what it stands in the log.
    kind: audit_log.AuditKind = audit_log.AuditKind.DONE
    # How long a person waits for the answer; gunicorn would wait for a minute.
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
        Do it to some rows after the others, each with an entry in the log that says
        what became of those taken with it, and from where it was done. What the time is
        too short for is left.
        """
        budget, done = TimeBudget(self.seconds), BulkResult(unreached=len(keys))
        while done.unreached and not (done.unreached < len(keys) and budget.is_spent()):
            reached = len(keys) - done.unreached
            taken = keys[reached : reached + TOGETHER]
            rows = model._base_manager.filter(pk__in=taken)
            done.add(self._take(rows, by, why, address))
            done.unreached -= len(taken)
        return done

    def _take(self, rows: QuerySet[Any], by: Any, why: str, address: str) -> BulkResult:
        with transaction.atomic() if self.is_only_logged else nullcontext():
            done = self.act(rows, by, why)
            said = f"{self.label}: {why}{_figures(done)}"
            entries = [
                audit_log.entry(rows.model, self.kind, said, by=by, about=row)
                for row in without_bodies(rows.all())  # asked anew: as they are now
            ]
            audit_log.keep(entries, address=address)
        return done

    def tell(self, done: BulkResult, model: type[Model]) -> str:
        """What was done and what was left alone, in whole sentences."""
        sentences = [f"{_count(done.done, model)} {self.said[done.done != 1]}."]
        for why, count in done.skipped.most_common(MAX_REASONS):
            were = "was" if count == 1 else "were"
            sentences.append(f"{count:,} {were} left alone: {why.rstrip('.')}.")
        rest = sum(done.skipped.values()) - sum(
            count for _, count in done.skipped.most_common(MAX_REASONS)
        )
        if rest:
            sentences.append(f"{rest:,} more were left alone for other reasons.")
        if done.unreached:
            sentences.append(
                f"{done.unreached:,} were not reached in time; do it again for them."
            )
        return " ".join(sentences)


class ActionForm(forms.Form):
    """What is to be done, and why."""

    action = forms.ChoiceField(label="Do this", widget=forms.Select())
    why = forms.CharField(
        label="Why",
        max_length=500,
        error_messages={"required": "Say why; the reason is kept with every row."},
        widget=forms.TextInput(
            {"placeholder": "The reason, kept with every row", "autocomplete": "off"}
        ),
    )
    select_across = forms.BooleanField(
        required=False,
        initial=0,
        widget=forms.HiddenInput({"class": "select-across"}),
    )

    def __init__(self, deeds: Sequence[Action], said: Any = None) -> None:
        super().__init__(said, auto_id="do_%s")
        choices = [(deed.name, deed.label) for deed in deeds]
        field: Any = self.fields["action"]
        field.choices = [("", "..."), *choices]


def count_of(number: int, model: type[Model]) -> str:
    """So many of them, in words."""
    return _count(number, model)


def _count(number: int, model: type[Model]) -> str:
    options = model._meta
    name = options.verbose_name if number == 1 else options.verbose_name_plural
    return f"{number:,} {name}"


def _figures(done: BulkResult) -> str:
    skipped = sum(done.skipped.values())
    if done.done + skipped == 1:
        return "" if done.done else f" (left alone: {next(iter(done.skipped))})"
    return f" (done to {done.done:,} of the {done.done + skipped:,} taken together)"
