"""What may be done about rows: by whom, after which questions, and where it leads back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar, TypeVar

from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import unquote
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.utils.http import url_has_allowed_host_and_scheme

from promoportal.admin import csv_export, saved_filter_views, session_expiry
from promoportal.admin.actions import MAX_ROWS, Action, ActionForm, count_of
from promoportal.admin.csv_export import CsvExport
from promoportal.admin.links import page_of
from promoportal.admin.permission_denied import Refused
from promoportal.admin.search import Search
from promoportal.runtime.client_address import client_address

A = TypeVar("A", bound=Model)


class ActionViews(Search[A]):
    """
    Rows about which something may be done, each with its own permission and for a
    reason, and which may be taken along.
    """

    deeds: ClassVar[Sequence[Action]] = ()
    # What of it may be had as CSV.
    sheet: ClassVar[CsvExport | None] = None

    def allowed(self, request: HttpRequest) -> list[Action]:
        """The deeds this person may do."""
        return [deed for deed in self.deeds if request.user.has_perm(deed.permission)]

    def offered(self, row: A, request: HttpRequest) -> list[Action]:
        """The deeds that this person may do about the row as it is."""
        return [deed for deed in self.allowed(request) if deed.fits(row)]

    def version(self, row: A) -> str:
        """What a page saw of the row that nothing may be done about once it changed."""
        return ""

    def stands(self, row: A) -> str:
        """How the row is, in a word."""
        return ""

    def posted(self, request: HttpRequest) -> HttpResponseBase | None:
        """Answer what only these rows are asked; None: it is something else."""
        return None

    def refused(self, request: HttpRequest, what: str, permission: str) -> Refused:
        """What to raise where this person may not; which rows they meant is kept."""
        is_all = request.POST.get("select_across") == "1"
        keys = [] if is_all else _keys(request)
        if keys or request.method != "POST":
            return Refused(what, permission, keys=keys)
        changes: Any = self.get_changelist_instance(request)
        said = [*changes.narrowed, *changes.problems]
        return Refused(what, permission, narrowed=", ".join(said))

    def _posted(self, request: HttpRequest) -> HttpResponseBase:
        if "export" in request.POST:
            return self._export(request)
        if "saved" in request.POST:
            return saved_filter_views.answer(
                self.get_changelist_instance(request), request
            )
        return self.posted(request) or self._act(request)

    def _may_export(self, request: HttpRequest) -> bool:
        return bool(self.sheet and request.user.has_perm(self.sheet.permission))

    def _export(self, request: HttpRequest) -> HttpResponseBase:
        """All that match, as CSV; who had it is kept first."""
        if self.sheet is None or not self._may_export(request):
            may = self.sheet.permission if self.sheet else ""
            raise self.refused(request, "All that match, as CSV", may)
        changes: Any = self.get_changelist_instance(request)
        if changes.problems:
            return self._back(request, "Nothing was exported: the list says why.")
        csv_export.note(
            self.model,
            by=request.user,
            narrowed=", ".join(changes.narrowed),
            address=client_address(request.META),
        )
        return csv_export.answer(self.sheet, changes.queryset, changes.order)

    def _act(self, request: HttpRequest) -> HttpResponse:
        """Do what was asked, or ask first, or say what is missing; then go back."""
        deed = self._asked(request)
        if deed is None:
            return self._back(request, "Nothing was done: choose what to do.")
        rows, is_more, first = self._chosen(request)
        if not rows:
            return self._back(request, "Nothing was done: choose at least one row.")
        if moved_on := self._moved_on(request, first):
            return self._back(request, moved_on)
        form = ActionForm(self.deeds, request.POST)
        if not form.is_valid() or (deed.asks_first and "confirmed" not in request.POST):
            return self._ask(request, deed, rows, form, is_more=is_more)
        why = form.cleaned_data["why"]
        address = client_address(request.META)
        done = deed.perform(self.model, rows, by=request.user, why=why, address=address)
        level = messages.SUCCESS if done.done else messages.WARNING
        said = deed.tell(done, self.model)
        return self._back(request, f"{said}{_rest(is_more=is_more)}", level)

    def _resumed(self, request: HttpRequest) -> HttpResponse | None:
        """Ask about what was asked for before the session ended, once."""
        said = session_expiry.asked(request)
        if said is None:
            return None
        request.POST = said  # type: ignore[assignment]
        name = said.get("action")
        deed = next((deed for deed in self.allowed(request) if deed.name == name), None)
        rows, is_more, _ = self._chosen(request)
        if deed is None or not rows:
            return None
        form = ActionForm(self.deeds, said)
        answer = self._ask(request, deed, rows, form, is_more=is_more)
        session_expiry.forget(answer)
        return answer

    def _asked(self, request: HttpRequest) -> Action | None:
        """The deed that was asked for, by one who may."""
        name = request.POST.get("action", "")
        deed = next((deed for deed in self.deeds if deed.name == name), None)
        if deed and not request.user.has_perm(deed.permission):
            raise self.refused(request, deed.label, deed.permission)
        return deed

    def _moved_on(self, request: HttpRequest, row: A | None) -> str:
        """Return a sentence if the row changed since its page was shown."""
        if row is None or self.version(row) == request.POST.get("seen", ""):
            return ""
        return (
            f"Nothing was done: the {self.opts.verbose_name} moved on while you looked, "
            f"and is now: {self.stands(row)}."
        )

    def _chosen(self, request: HttpRequest) -> tuple[list[Any], bool, A | None]:
        """
        Read the chosen rows, in one query.

        Return their keys, whether there are more than one request takes, and the first
        row if the form says how a page showed it. What is confirmed is what will be
        done, because the keys are fixed here.
        """
        if request.POST.get("select_across") == "1":
            changes = self.get_changelist_instance(request)
            rows = changes.get_queryset(request)
        else:
            rows = self.get_queryset(request).filter(pk__in=_keys(request))
        first: A | None = None
        if request.POST.get("seen"):  # the form was on one row's page
            found = list(rows.order_by("pk")[: MAX_ROWS + 1])
            keys, first = [row.pk for row in found], next(iter(found), None)
        else:
            ordered = rows.order_by("pk").values_list("pk", flat=True)
            keys = list(ordered[: MAX_ROWS + 1])
        return keys[:MAX_ROWS], len(keys) > MAX_ROWS, first

    def _ask(
        self,
        request: HttpRequest,
        deed: Action,
        rows: list[Any],
        form: ActionForm,
        *,
        is_more: bool,
    ) -> HttpResponse:
        """Ask whether it is meant, and for the reason if it is missing or no good."""
        every = self.model._base_manager.filter(pk__in=rows)
        one = every.get() if len(rows) == 1 else None
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": deed.label,
            "deed": deed,
            "chosen": str(one) if one else count_of(len(rows), self.model),
            "plan": list(deed.plan(every)) if deed.plan else [],
            "rest": _rest(is_more=is_more),
            "keys": ",".join(str(key) for key in rows),
            "form": form,
            "back": self._where(request),
            "page": request.POST.get("page", ""),
            "seen": request.POST.get("seen", ""),
        }
        return TemplateResponse(request, "admin/confirm_action.html", context)

    def _back(
        self, request: HttpRequest, said: str, level: int = messages.WARNING
    ) -> HttpResponse:
        self.message_user(request, said, level)
        return HttpResponseRedirect(self._where(request))

    def _where(self, request: HttpRequest) -> str:
        """The page it was asked from: a row's, another of ours, or the list as it was."""
        back = request.POST.get("back", "")
        if back.startswith("/") and url_has_allowed_host_and_scheme(back, None):
            return back
        if page := request.POST.get("page"):
            row = self.get_object(request, unquote(page))
            if row is not None:
                return page_of(row)
        return request.get_full_path()


# No more digits than a key has, or than Python reads.
_KEY = re.compile("[0-9]{1,18}")


def _keys(request: HttpRequest) -> list[int]:
    said = [
        *request.POST.getlist(ACTION_CHECKBOX_NAME),
        *request.POST.get("keys", "").split(","),
    ]
    return [int(key) for key in said if _KEY.fullmatch(key)]


def _rest(*, is_more: bool) -> str:
    if not is_more:
        return ""
    return f" More rows match than the {MAX_ROWS:,} taken at once; do it again for the rest."
