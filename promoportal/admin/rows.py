"""Lists and pages of rows that nobody edits: states move through services alone."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import unquote
from django.contrib.auth import get_permission_codename
from django.db.models import Model, Q, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from promoportal.admin import interruptions, saving, sheets
from promoportal.admin.attention import Attention, NeedsAPerson
from promoportal.admin.deeds import (
    MOST_AT_ONCE,
    Deed,
    DeedForm,
    count_of,
    without_bodies,
)
from promoportal.admin.pages import (
    Moment,
    Panel,
    columns_of,
    moves_of,
    panels_of,
    story_of,
)
from promoportal.admin.paging import KeysetChangeList
from promoportal.admin.refusals import Refused
from promoportal.admin.revealing import Reveal
from promoportal.admin.sheets import Sheet
from promoportal.admin.showing import (
    beside,
    list_of,
    moment,
    page_of,
    quoted,
    short,
    since,
    state_of,
)
from promoportal.callers import client_address
from promoportal.naming import composed

M = TypeVar("M", bound=Model)

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[M]
else:

    class _ModelAdmin(admin.ModelAdmin, Generic[M]):
        pass


class ReadOnlyAdmin(_ModelAdmin[M]):
    """
    Rows to look at, in a list and on a page of their own.

    Nobody adds, changes or deletes one, superusers included. What may be done about
    them is in `deeds`: each has its own permission, and is done for a reason.
    """

    deeds: ClassVar[Sequence[Deed]] = ()
    attention: ClassVar[Sequence[Attention]] = ()
    # What of it may be had as CSV.
    sheet: ClassVar[Sheet | None] = None
    # Looked up as they are, so that an index answers.
    finds: ClassVar[Sequence[str]] = ()
    finds_uuid: ClassVar[Sequence[str]] = ()
    # Looked up by how they begin.
    begins: ClassVar[Sequence[str]] = ()
    # What of a row is shown only to who says why.
    reveal: ClassVar[Reveal | None] = None
    # What its columns look at in other large tables (see paging.py).
    list_beside: ClassVar[Sequence[str]] = ()
    # Whether an index serves the whole list that holds the key turned round (see order.py).
    is_narrowed: ClassVar[bool] = False
    # What of an address such an index serves.
    indexed: ClassVar[Sequence[str]] = ()

    actions = None
    change_list_template = "admin/rows.html"
    change_form_template = "admin/row.html"
    list_per_page = 100
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    empty_value_display = ""
    # Sorting by what has no index would read the whole table.
    sortable_by = ()
    ordering = ("-pk",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(
        self, request: HttpRequest, obj: Model | None = None
    ) -> bool:
        return False

    def has_delete_permission(
        self, request: HttpRequest, obj: Model | None = None
    ) -> bool:
        return False

    # --- The list ---------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[M]:
        return without_bodies(super().get_queryset(request))

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[Any]:
        return KeysetChangeList

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        boxes = ["action_checkbox"] if self.allowed(request) else []
        return [*boxes, *columns_of(self.model, self.list_display)]

    def get_list_display_links(
        self, request: HttpRequest, list_display: Sequence[Any]
    ) -> list[Any]:
        return [*(self.list_display_links or self.list_display[:1])]

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        needs = [NeedsAPerson] if self.attention else []
        return [*needs, *self.list_filter]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """All are; but what no filter asks for is never looked up, and said to be so."""
        return True

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        return [*self.finds, *self.finds_uuid, *self.begins]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[M], search_term: str
    ) -> tuple[QuerySet[M], bool]:
        term = search_term.strip()
        return (queryset.filter(self._found(term)) if term else queryset), False

    def _found(self, term: str) -> Q:
        """
        The whole term, as it is: an id may hold spaces, and case may matter. In a name
        it does not, and few remember the whole of one.
        """
        if self.finds_uuid and _is_uuid(term):
            return _any_of(self.finds_uuid, UUID(term))
        whole = [self._found_by(path, term) for path in self.finds]
        name = composed(term)
        begun = [Q(**{f"{path}__istartswith": name}) for path in self.begins]
        return reduce(operator.or_, [*whole, *begun])

    def _found_by(self, path: str, term: str) -> Q:
        """
        Where one row alone can have the term, its rows are asked for by its key: joined,
        they would all be sorted for the newest hundred.
        """
        name, _, rest = path.partition("__")
        related: Any = self.opts.get_field(name).related_model if rest else None
        if related is None or not related._meta.get_field(rest).unique:
            return Q(**{path: term})
        one = related._base_manager.filter(**{rest: term}).values("pk")
        return Q(**{name: Subquery(one)})

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        if not self.has_view_permission(request):
            name = str(self.opts.verbose_name_plural)
            view = f"{self.opts.app_label}.{get_permission_codename('view', self.opts)}"
            raise self.refused(request, f"Look at {name}", view)
        if request.method == "POST":
            return self._posted(request)
        if resumed := self._resumed(request):
            return resumed
        deeds = [deed for deed in self.allowed(request) if deed.in_list]
        form = DeedForm(deeds) if deeds else None
        context = {
            "title": capfirst(self.opts.verbose_name_plural),
            "action_form": form,
            "most_at_once": MOST_AT_ONCE,
            "may_export": self._may_export(request),
        }
        page: Any = super().changelist_view(
            request, {**context, **(extra_context or {})}
        )
        if changes := getattr(page, "context_data", {}).get("cl"):
            page.context_data.update(saving.shown(changes, request))
        return page

    # --- The page ---------------------------------------------------------------------

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> M | None:
        if "\0" in object_id:  # which the database could not be asked for
            return None
        return super().get_object(request, object_id, from_field)

    def get_fieldsets(self, request: HttpRequest, obj: M | None = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        if self.reveal is None or (obj and self.reveal.is_shown(obj, request.user)):
            return fieldsets
        return self.reveal.hidden(fieldsets)

    def render_change_form(
        self, request: Any, context: Any, *args: Any, **kwargs: Any
    ) -> Any:
        row = kwargs["obj"]
        deeds = self.offered(row, request)
        context.update(
            title=short(self.heading(row)),
            subtitle=None,
            marks=self.marks(row),
            story=story_of(row, self.story(row)),
            panels=[*self.panels(row), *panels_of(row)],
            deeds=deeds,
            aside=[deed for deed in deeds if deed.is_aside(row)],
            seen=self.version(row),
            list_address=list_of(self.model),
        )
        return super().render_change_form(request, context, *args, **kwargs)

    def heading(self, row: M) -> str:
        """What the page is called."""
        text = str(row)
        return text[:1].upper() + text[1:]

    def marks(self, row: M) -> list[SafeString]:
        """The badges beside the heading."""
        return []

    def story(self, row: M) -> Iterable[Moment]:
        """What happened to the row, in any order."""
        return []

    def panels(self, row: M) -> Iterable[Panel]:
        """What belongs to the row."""
        return []

    # --- What may be done -------------------------------------------------------------

    def allowed(self, request: HttpRequest) -> list[Deed]:
        """The deeds this person may do."""
        return [deed for deed in self.deeds if request.user.has_perm(deed.permission)]

    def offered(self, row: M, request: HttpRequest) -> list[Deed]:
        """The deeds that this person may do about the row as it is."""
        return [deed for deed in self.allowed(request) if deed.fits(row)]

    def version(self, row: M) -> str:
        """What a page saw of the row that nothing may be done about once it changed."""
        return ""

    def stands(self, row: M) -> str:
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
            return saving.answer(self.get_changelist_instance(request), request)
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
        sheets.note(
            self.model,
            by=request.user,
            narrowed=", ".join(changes.narrowed),
            address=client_address(request.META),
        )
        return sheets.answer(self.sheet, changes.queryset, changes.order)

    def _act(self, request: HttpRequest) -> HttpResponse:
        """Do what was asked, or ask first, or say what is missing; then go back."""
        deed = self._asked(request)
        if deed is None:
            return self._back(request, "Nothing was done: choose what to do.")
        rows, is_more = self._chosen(request)
        if not rows:
            return self._back(request, "Nothing was done: choose at least one row.")
        if moved_on := self._moved_on(request, rows):
            return self._back(request, moved_on)
        form = DeedForm(self.deeds, request.POST)
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
        said = interruptions.asked(request)
        if said is None:
            return None
        request.POST = said  # type: ignore[assignment]
        name = said.get("action")
        deed = next((deed for deed in self.allowed(request) if deed.name == name), None)
        rows, is_more = self._chosen(request)
        if deed is None or not rows:
            return None
        form = DeedForm(self.deeds, said)
        answer = self._ask(request, deed, rows, form, is_more=is_more)
        interruptions.forget(answer)
        return answer

    def _asked(self, request: HttpRequest) -> Deed | None:
        """The deed that was asked for, by one who may."""
        name = request.POST.get("action", "")
        deed = next((deed for deed in self.deeds if deed.name == name), None)
        if deed and not request.user.has_perm(deed.permission):
            raise self.refused(request, deed.label, deed.permission)
        return deed

    def _moved_on(self, request: HttpRequest, keys: list[Any]) -> str:
        """Whether the row is no longer as the page showed it from which this comes."""
        seen = request.POST.get("seen", "")
        row = self.get_queryset(request).get(pk=keys[0]) if seen else None
        if row is None or self.version(row) == seen:
            return ""
        return (
            f"Nothing was done: the {self.opts.verbose_name} moved on while you looked, "
            f"and is now: {self.stands(row)}."
        )

    def _chosen(self, request: HttpRequest) -> tuple[list[Any], bool]:
        """
        The keys of the chosen rows, and whether there were more than one press takes.

        They are fixed here: what is asked about is what will be done.
        """
        if request.POST.get("select_across") == "1":
            changes = self.get_changelist_instance(request)
            rows = changes.get_queryset(request)
        else:
            rows = self.get_queryset(request).filter(pk__in=_keys(request))
        keys = list(
            rows.order_by("pk").values_list("pk", flat=True)[: MOST_AT_ONCE + 1]
        )
        return keys[:MOST_AT_ONCE], len(keys) > MOST_AT_ONCE

    def _ask(
        self,
        request: HttpRequest,
        deed: Deed,
        rows: list[Any],
        form: DeedForm,
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
        return TemplateResponse(request, "admin/confirm.html", context)

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


S = TypeVar("S", bound=Model)


class StatefulAdmin(ReadOnlyAdmin[S]):
    """Rows with a state, its history, and perhaps a reason."""

    # What each state of every machine of the row is called.
    labels: ClassVar[dict[str, str]] = {}

    def version(self, row: Any) -> str:
        return f"{row.state} {row.state_since.isoformat()}"

    def stands(self, row: Any) -> str:
        return str(row.get_state_display())

    @admin.display(description="state")
    def status(self, row: Any) -> SafeString:
        return state_of(row)

    @admin.display(description="state")
    def standing(self, row: Any) -> SafeString:
        """How it is, and since when: in a column, so that a row fits a screen."""
        return beside(self.status(row), since(row.state_since))

    def problem_of(self, row: Any) -> str:
        """The words beside the reason, as they may be shown."""
        return str(row.problem)

    @admin.display(description="why")
    def why(self, row: Any) -> str:
        """The reason, and the words beside it."""
        reason, problem = row.get_reason_display(), short(self.problem_of(row))
        return f"{reason}. {problem}" if reason and problem else reason or problem

    @admin.display(description="what is wrong")
    def problem_in_full(self, row: Any) -> SafeString:
        said = (row.get_reason_display(), self.problem_of(row))
        return quoted(". ".join(part for part in said if part))

    def marks(self, row: Any) -> list[SafeString]:
        return [self.status(row), since(row.state_since)]

    def story(self, row: Any) -> Iterable[Moment]:
        return moves_of(row, self.labels)


def when(name: str, description: str = "") -> Callable[[Any, Any], SafeString]:
    """A column that shows a time of the row."""

    @admin.display(description=description or name.removesuffix("_at"))
    def column(_: Any, row: Any) -> SafeString:
        return moment(getattr(row, name))

    return column


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
    return f" More rows match than the {MOST_AT_ONCE:,} taken at once; do it again for the rest."


def _any_of(paths: Sequence[str], value: Any) -> Q:
    return reduce(operator.or_, [Q(**{path: value}) for path in paths])


def _is_uuid(term: str) -> bool:
    try:
        UUID(term)
    except ValueError:
        return False
    return True
