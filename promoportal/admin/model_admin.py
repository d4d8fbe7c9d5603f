"""Lists and pages of rows that nobody edits: states move through services alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, TypeVar

from django.contrib import admin
from django.contrib.auth import get_permission_codename
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from promoportal.admin import saved_filter_views
from promoportal.admin.action_views import ActionViews
from promoportal.admin.actions import MAX_ROWS, ActionForm
from promoportal.admin.alerts import Alert, alert_filter
from promoportal.admin.formatting import short
from promoportal.admin.keyset_pagination import KeysetChangeList
from promoportal.admin.links import list_of
from promoportal.admin.page_extensions import columns_of, panels_of, timeline_of
from promoportal.admin.panels import Panel
from promoportal.admin.querysets import without_bodies
from promoportal.admin.sensitive_fields import Reveal
from promoportal.admin.timeline import Moment

M = TypeVar("M", bound=Model)


class ReadOnlyAdmin(ActionViews[M]):
    """
    Rows to look at, in a list and on a page of their own.

    Nobody adds, changes or deletes one, superusers included. What may be done about
    them is in `deeds`: each has its own permission, and is done for a reason.
    """

    attention: ClassVar[Sequence[Alert]] = ()
    # What of a row is shown only to who says why.
    reveal: ClassVar[Reveal | None] = None
    # What its columns look at in other large tables (see paging.py).
    list_beside: ClassVar[Sequence[str]] = ()
    # Whether an index serves the whole list that holds the key turned round (see order.py).
    is_narrowed: ClassVar[bool] = False
    # What of an address such an index serves.
    indexed: ClassVar[Sequence[str]] = ()

    actions = None
    change_list_template = "admin/row_list.html"
    change_form_template = "admin/row_detail.html"
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
        needs = [alert_filter(self.attention)] if self.attention else []
        return [*needs, *self.list_filter]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """All are; but what no filter asks for is never looked up, and said to be so."""
        return True

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
        form = ActionForm(deeds) if deeds else None
        context = {
            "title": capfirst(self.opts.verbose_name_plural),
            "action_form": form,
            "most_at_once": MAX_ROWS,
            "may_export": self._may_export(request),
        }
        page: Any = super().changelist_view(
            request, {**context, **(extra_context or {})}
        )
        if changes := getattr(page, "context_data", {}).get("cl"):
            page.context_data.update(saved_filter_views.shown(changes, request))
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
            story=timeline_of(row, self.story(row)),
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
