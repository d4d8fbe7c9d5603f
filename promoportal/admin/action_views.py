"""Responses to a posted action: perform it, or ask for confirmation or a reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.template.response import TemplateResponse

from promoportal.admin import session_expiry
from promoportal.admin.actions import MAX_ROWS, Action, ActionForm, Actions, count_of
from promoportal.admin.posted_form import PostedForm


@dataclass(frozen=True)
class Selection:
    """The keys of the chosen rows, and the row itself if the form was on its page."""

    keys: list[Any]
    is_cut: bool
    first: Any = None

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
        if conflict := self._version_conflict(selection):
            return self.form.go_back(conflict)
        form = ActionForm(self.offered, data)
        if not form.is_valid() or (action.asks_first and "confirmed" not in data):
            return self._confirm(action, selection, form)
        return self._perform(action, selection, form.cleaned_data["why"])

    def resume(self) -> HttpResponse | None:
        """Ask once to confirm an action that was posted after the session ended."""
        action = self.offered.named(self.form.data.get("action"))
        selection = self._selection()
        if not action or not self._may(action) or not selection.keys:
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
        if self.form.data.get("seen"):  # the form was on a row's page
            found = list(rows[: MAX_ROWS + 1])
            keys, first = [row.pk for row in found], next(iter(found), None)
        else:
            keys, first = list(rows.values_list("pk", flat=True)[: MAX_ROWS + 1]), None
        return Selection(keys[:MAX_ROWS], len(keys) > MAX_ROWS, first)

    def _version_conflict(self, selection: Selection) -> str:
        """Return a message, or "" if the row is as when its page was shown."""
        seen, row = self.form.data.get("seen", ""), selection.first
        if not seen or self.offered.version_token(row) == seen:
            return ""
        name, label = row._meta.verbose_name, self.offered.state_label(row)
        return (
            f"Nothing was done: the {name} moved on while you looked, "
            f"and is now: {label}."
        )

    def _perform(self, action: Action, selection: Selection, why: str) -> HttpResponse:
        model, by = self.form.model_admin.model, self.form.request.user
        result = action.perform(
            model, selection.keys, by=by, why=why, address=self.form.address
        )
        level = messages.SUCCESS if result.done else messages.WARNING
        message = f"{action.tell(result, model)}{selection.rest}"
        return self.form.go_back(message, level)

    def _confirm(
        self, action: Action, selection: Selection, form: ActionForm
    ) -> HttpResponse:
        """Ask for confirmation, and for the reason if it is missing or invalid."""
        model_admin, data = self.form.model_admin, self.form.data
        rows = model_admin.model._base_manager.filter(pk__in=selection.keys)
        count = len(selection.keys)
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
            "seen": data.get("seen", ""),
        }
        return TemplateResponse(self.form.request, "admin/confirm_action.html", context)
