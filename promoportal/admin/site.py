"""The admin site: the overview, and the lists in the order of the daily work."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any

from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django_htmx.http import HttpResponseClientRefresh

from promoportal.admin import alerts, navigation, page_extensions, session_expiry

# In the order of the daily work. Django would sort by name.
_APPS = (
    "executions",
    "rewards",
    "redemptions",
    "promoportal",
    "django_q",
    "admin",
    "auth",
)
_NAMES = {
    "promoportal": "Far sides",
    "django_q": "Queue",
    "auth": "Accounts",
    "admin": "Who did what",
}
_MODELS = (
    *("Execution", "Delivery", "Trigger", "Campaign", "Listener"),
    *("Assignment", "Activation", "Retrial", "Retried", "Collection", "Promotion"),
    *("Redemption", "Report"),
    *("Breaker", "Allowance"),
)


class PortalSite(AdminSite):
    site_header = "promoportal"
    site_title = "promoportal"
    index_title = "What needs a person"
    empty_value_display = ""
    site_url = None

    def get_app_list(
        self, request: HttpRequest, app_label: str | None = None
    ) -> list[Any]:
        apps: list[Any] = list(super().get_app_list(request, app_label))
        for app in apps:
            app["name"] = _NAMES.get(app["app_label"], app["name"])
            app["models"].sort(key=lambda model: _place(_MODELS, model["object_name"]))
        return sorted(apps, key=lambda app: _place(_APPS, app["app_label"]))

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        context = super().each_context(request)
        lists = {
            model["object_name"]: model
            for app in context["available_apps"]
            for model in app["models"]
        }
        return {**context, "navigation": navigation.of(request, lists)}

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        # The list of apps contains only the models that the user may see.
        figures = [
            figure
            for app in self.get_app_list(request)
            for model in app["models"]
            for figure in alerts.figures(self.get_model_admin(model["model"]))
        ]
        context = {"figures": figures, "panels": page_extensions.fronts_for(request)}
        return super().index(request, {**(extra_context or {}), **context})

    def get_urls(self) -> list[Any]:
        """Return all URLs but `view_on_site`: rows have no page outside the admin."""
        urls: list[Any] = super().get_urls()
        return [url for url in urls if getattr(url, "name", "") != "view_on_site"]

    def autocomplete_view(self, request: HttpRequest) -> HttpResponse:
        if "\0" in request.GET.get("term", ""):
            raise Http404
        answer: HttpResponse = super().autocomplete_view(request)
        return answer

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        """Wrap a view so that a POST after the end of the session changes nothing."""
        default: Callable[..., HttpResponse] = super().admin_view(view, cacheable)

        def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if request.method != "POST" or self.has_permission(request):
                return default(request, *args, **kwargs)
            if request.user.is_authenticated:
                raise PermissionDenied
            return session_expiry.answer(request)

        return update_wrapper(answer, default)

    def login(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the login page; for a request of htmx, reload the whole page instead."""
        if getattr(request, "htmx", None):
            return HttpResponseClientRefresh()
        return super().login(request, extra_context)


def _place(names: tuple[str, ...], name: str) -> int:
    return names.index(name) if name in names else len(names)
