"""Responses to a posted action: perform it, or ask for confirmation or a reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpResponse
from django.template.response import TemplateResponse

from promoportal.admin import session_expiry
from promoportal.admin.actions import MAX_ROWS, Action, ActionForm, Actions, count_of
from promoportal.admin.posted_form import PostedForm
from promoportal.admin.querysets import without_bodies
from promoportal.db import row_versions
from promoportal.db.row_versions import Seen

_NO_VERSIONS = (
    "Nothing was done: the form did not say what you saw. Open the page again, and "
    "choose again."
)


@dataclass(frozen=True)
class Selection:
    """The keys of the chosen rows, and the versions of the rows that the user saw."""

    keys: list[int]
    is_cut: bool
    seen: Seen
    # The user saw none of the versions, because the form was about all matching rows.
    is_new: bool = False

    @property
    def rest(self) -> str:
        """Return a sentence about the rows above the limit, if there are any."""
        if not self.is_cut:
            return ""
        return f" More rows match than the {MAX_ROWS:,} taken at once; do it again for the rest."


@dataclass(frozen=True)
class ActionViews:
    """Responses to a form that requests one of the actions on a model's rows."""

    form: PostedForm
    offered: Actions

    def answer(self) -> HttpResponse:
        """Perform the action, or ask for confirmation or a reason first."""
        data = self.form.data
        action = self._requested()
        if action is None:
            return self.form.go_back("Nothing was done: choose what to do.")
        selection = self._selection()
        if not selection.keys:
            return self.form.go_back("Nothing was done: choose at least one row.")
        if conflict := self._version_conflict(action, selection):
            return self.form.go_back(conflict)
        form, is_confirmed = ActionForm(self.offered, data), "confirmed" in data
        # All matching rows are shown with their number before anything is done.
        must_confirm = selection.is_new or (action.asks_first and not is_confirmed)
        if not form.is_valid() or must_confirm:
            return self._confirm(action, selection, form)
        return self._perform(action, selection, form.cleaned_data["why"])

    def resume(self) -> HttpResponse | None:
        """Ask once to confirm an action that was posted after the session ended."""
        action = self.offered.named(self.form.data.get("action"))
        selection = self._selection()
        if not action or not self._may(action) or not selection.keys:
            return None
        if self._unseen(action, selection):
            return None
        form = ActionForm(self.offered, self.form.data)
        answer = self._confirm(action, selection, form)
        session_expiry.forget(answer)
        return answer

    def _requested(self) -> Action | None:
        """
        Return the action that the form requests, or None.

        :raises Refused: if the user lacks its permission
        """
        action = self.offered.named(self.form.data.get("action"))
        if action and not self._may(action):
            raise self.form.refusal(action.label, action.permission)
        return action

    def _may(self, action: Action) -> bool:
        return bool(self.form.request.user.has_perm(action.permission))

    def _selection(self) -> Selection:
        """
        Return the chosen rows, read in one query.

        The confirmation page posts these keys, so rows that match later do not change.
        """
        rows = self.form.rows().order_by("pk")
        if self.form.is_about_all:
            found = list(rows[: MAX_ROWS + 1])
            some, is_cut = found[:MAX_ROWS], len(found) > MAX_ROWS
            seen = row_versions.versions(some)
            return Selection([row.pk for row in some], is_cut, seen, is_new=True)
        keys = list(rows.values_list("pk", flat=True)[: MAX_ROWS + 1])
        return Selection(keys[:MAX_ROWS], len(keys) > MAX_ROWS, self.form.seen())

    def _version_conflict(self, action: Action, selection: Selection) -> str:
        """Return a message if the form has no versions, or if its only row changed."""
        if self._unseen(action, selection):
            return _NO_VERSIONS
        changed = self._changed(action, selection) if len(selection.keys) == 1 else []
        if not changed:
            return ""
        [row] = changed
        name, label = row._meta.verbose_name, self.offered.state_label(row)
        now = f", and is now: {label}" if label else ""
        return f"Nothing was done: the {name} moved on while you looked{now}."

    def _unseen(self, action: Action, selection: Selection) -> bool:
        """Return whether the form lacks the version of a row that it is about."""
        parts, seen = action.parts(self.form.model_admin.model), selection.seen
        return not all(
            row_versions.has_parts(seen.get(key, ""), parts) for key in selection.keys
        )

    def _changed(self, action: Action, selection: Selection) -> list[Any]:
        """Return the chosen rows that are not as the user saw them."""
        parts = action.parts(self.form.model_admin.model)
        if not parts or selection.is_new:
            return []
        rows = list(self._rows(selection))
        now = row_versions.versions(rows)
        return [row for row in rows if self._differs(row, now, selection, parts)]

    def _differs(
        self, row: Any, now: Seen, selection: Selection, parts: Sequence[str]
    ) -> bool:
        before, after = selection.seen[row.pk], now[row.pk]
        return row_versions.only(before, parts) != row_versions.only(after, parts)

    def _rows(self, selection: Selection) -> QuerySet[Any]:
        rows = self.form.model_admin.model._base_manager.filter(pk__in=selection.keys)
        return without_bodies(rows)

    def _perform(self, action: Action, selection: Selection, why: str) -> HttpResponse:
        model, by = self.form.model_admin.model, self.form.request.user
        result = action.perform(
            model,
            selection.keys,
            by=by,
            why=why,
            address=self.form.address,
            seen=selection.seen,
        )
        level = messages.SUCCESS if result.done else messages.WARNING
        message = f"{action.tell(result, model)}{selection.rest}"
        return self.form.go_back(message, level)

    def _confirm(
        self, action: Action, selection: Selection, form: ActionForm
    ) -> HttpResponse:
        """
        Ask for confirmation, and for the reason if it is missing or invalid.

        The page keeps the versions that the user saw first: a row that changed before
        the page was opened is named on it, and is skipped.
        """
        model_admin, data = self.form.model_admin, self.form.data
        rows, count = self._rows(selection), len(selection.keys)
        chosen = {key: selection.seen.get(key, "") for key in selection.keys}
        context = {
            **model_admin.admin_site.each_context(self.form.request),
            "opts": model_admin.opts,
            "title": action.label,
            "action": action,
            "chosen": str(rows.get()) if count == 1 else count_of(count, rows.model),
            "plan": list(action.plan(rows)) if action.plan else [],
            "rest": selection.rest,
            "keys": ",".join(str(key) for key in selection.keys),
            "form": form,
            "back": self.form.return_address(),
            "page": data.get("page", ""),
            "seen": row_versions.encode(chosen),
            "changed": len(self._changed(action, selection)),
        }
        return TemplateResponse(self.form.request, "admin/confirm_action.html", context)
