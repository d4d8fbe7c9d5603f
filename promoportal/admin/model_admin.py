"""The base class of all lists and detail pages of rows, which staff cannot edit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.contrib.auth import get_permission_codename
from django.db.models import QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from promoportal.admin import (
    csv_export,
    display_name_form,
    saved_filter_views,
    session_expiry,
)
from promoportal.admin.action_views import ActionViews
from promoportal.admin.actions import MAX_ROWS, ActionForm, Actions
from promoportal.admin.alerts import Alert, alert_filter
from promoportal.admin.csv_export import CsvExport
from promoportal.admin.display_name_form import DisplayNameForm
from promoportal.admin.formatting import short, since, state_badge
from promoportal.admin.keyset_pagination import KeysetChangeList
from promoportal.admin.links import list_of
from promoportal.admin.page_extensions import columns_of, panels_of, timeline_of
from promoportal.admin.panels import Panel
from promoportal.admin.posted_form import PostedForm
from promoportal.admin.querysets import without_bodies
from promoportal.admin.search import Search
from promoportal.admin.sensitive_fields import Reveal
from promoportal.admin.timeline import Moment, transitions_of
from promoportal.db import row_versions
from promoportal.db.state_machine import Stateful

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[Any]
else:
    _ModelAdmin = admin.ModelAdmin


class PortalAdmin(_ModelAdmin):
    """
    A list of rows and a page for each row, composed of the parts that a model declares.

    No user, not even a superuser, has Django's forms to add, change or delete rows:
    only services change states. `offered` contains the actions of staff. Each action
    has its own permission and needs a reason.
    """

    search: ClassVar[Search] = Search()
    offered: ClassVar[Actions] = Actions()
    alerts: ClassVar[Sequence[Alert]] = ()
    export: ClassVar[CsvExport | None] = None
    sensitive: ClassVar[Reveal | None] = None
    display_name: ClassVar[DisplayNameForm | None] = None
    # Related rows that columns show from large tables; they are fetched by key.
    list_prefetch_related: ClassVar[Sequence[str]] = ()
    # The filter parameters that have an index in the order of filtered lists, and
    # whether the list without any filter has such an index (see keyset_order.py).
    served_by_index: ClassVar[Sequence[str]] = ()
    is_narrowed: ClassVar[bool] = False

    actions = None
    change_list_template = "admin/row_list.html"
    change_form_template = "admin/row_detail.html"
    list_per_page = 100
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    # Sorting by a column without an index would read the whole table.
    sortable_by = ()
    ordering = ("-pk",)

    # --- The hooks of a model's own admin ---------------------------------------------

    def heading(self, row: Any) -> str:
        if self.display_name:
            return display_name_form.heading(row)
        return capfirst(str(row))

    def heading_badges(self, row: Any) -> list[SafeString]:
        if self.display_name:
            return display_name_form.badges(row)
        has_state = isinstance(row, Stateful)
        return [state_badge(row), since(row.state_since)] if has_state else []

    def timeline(self, row: Any) -> Iterable[Moment]:
        """Return events of the row, in any order."""
        return transitions_of(row) if isinstance(row, Stateful) else []

    def panels(self, row: Any) -> Iterable[Panel]:
        """Return panels for the page of the row."""
        return []

    def handle_custom_post(self, form: PostedForm) -> HttpResponseBase | None:
        """Answer a form that only this model has; return None for any other form."""
        return self.display_name.answer(form) if self.display_name else None

    # --- Permissions ------------------------------------------------------------------

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    has_change_permission = has_delete_permission = has_add_permission

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Allow all parameters: the list rejects those that belong to no filter."""
        return True

    # --- The list ---------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return without_bodies(super().get_queryset(request))

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[Any]:
        return KeysetChangeList

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        boxes = ["action_checkbox"] if self.offered.allowed(request.user) else []
        return [*boxes, *columns_of(self.model, self.list_display)]

    def get_list_display_links(
        self, request: HttpRequest, list_display: Sequence[Any]
    ) -> list[Any]:
        return [*(self.list_display_links or self.list_display[:1])]

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        needs = [alert_filter(self.alerts)] if self.alerts else []
        return [*needs, *self.list_filter]

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        return self.search.fields

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return self.search.narrow(queryset, search_term), False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        form = PostedForm(self, request, request.POST)
        if not self.has_view_permission(request):
            view = get_permission_codename("view", self.opts)
            what = f"Look at {self.opts.verbose_name_plural}"
            raise form.refusal(what, f"{self.opts.app_label}.{view}")
        if request.method == "POST":
            return self._dispatch_post(form)
        if resumed := self._resume(request):
            return resumed
        context = {**self._list_context(request.user), **(extra_context or {})}
        page: Any = super().changelist_view(request, context)
        if changes := getattr(page, "context_data", {}).get("cl"):
            page.context_data.update(saved_filter_views.shown(changes, request))
        return page

    def _list_context(self, user: Any) -> dict[str, Any]:
        actions = [action for action in self.offered.allowed(user) if action.in_list]
        return {
            "title": capfirst(self.opts.verbose_name_plural),
            "action_form": ActionForm(actions) if actions else None,
            "most_at_once": MAX_ROWS,
            "may_export": self.export is not None and self.export.is_allowed(user),
        }

    def _dispatch_post(self, form: PostedForm) -> HttpResponseBase:
        if "export" in form.data:
            return csv_export.answer(self.export, form)
        if "saved" in form.data:
            return saved_filter_views.answer(form)
        custom = self.handle_custom_post(form)
        return custom or ActionViews(form, self.offered).answer()

    def _resume(self, request: HttpRequest) -> HttpResponseBase | None:
        data = session_expiry.asked(request)
        if data is None:
            return None
        return ActionViews(PostedForm(self, request, data), self.offered).resume()

    # --- The page of a row ------------------------------------------------------------

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Any:
        if "\0" in object_id:  # PostgreSQL cannot store this character
            return None
        return super().get_object(request, object_id, from_field)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        fieldsets, sensitive = super().get_fieldsets(request, obj), self.sensitive
        if sensitive is None or (obj and sensitive.is_shown(obj, request.user)):
            return fieldsets
        return sensitive.hide(fieldsets)

    def render_change_form(
        self, request: Any, context: Any, *args: Any, **kwargs: Any
    ) -> Any:
        context.update(self._page_context(kwargs["obj"], request.user))
        return super().render_change_form(request, context, *args, **kwargs)

    def _page_context(self, row: Any, user: Any) -> dict[str, Any]:
        actions = self.offered.available_actions(row, user)
        return {
            "title": short(self.heading(row)),
            "subtitle": None,
            "heading_badges": self.heading_badges(row),
            "timeline": timeline_of(row, self.timeline(row)),
            "panels": [*self.panels(row), *panels_of(row)],
            "actions": actions,
            "aside": [action for action in actions if action.is_aside(row)],
            "seen": row_versions.encode(row_versions.versions([row])),
            "list_address": list_of(self.model),
            **(self.display_name.context(user) if self.display_name else {}),
        }
