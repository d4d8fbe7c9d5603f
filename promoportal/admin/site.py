"""The site: what needs a person first, then the lists in the order of the work."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django_htmx.http import HttpResponseClientRefresh

from promoportal.admin import attention, pages, tasks

# The order of the work, not of the alphabet.
_ROOMS = (
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
    *("Assignment", "Retrial", "Retried", "Collection", "Promotion"),
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
        return sorted(apps, key=lambda app: _place(_ROOMS, app["app_label"]))

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        context = super().each_context(request)
        lists = {
            model["object_name"]: model
            for app in context["available_apps"]
            for model in app["models"]
        }
        return {**context, "tasks": tasks.of(request, lists)}

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        # The list of apps holds only what one may see.
        figures = [
            figure
            for app in self.get_app_list(request)
            for model in app["models"]
            for figure in attention.figures(self.get_model_admin(model["model"]))
        ]
        found = {"figures": figures, "panels": pages.fronts_for(request)}
        return super().index(request, {**(extra_context or {}), **found})

    def login(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Have whoever looks on after their session ended see that, and log in anew."""
        if getattr(request, "htmx", None):
            return HttpResponseClientRefresh()
        return super().login(request, extra_context)


def _place(names: tuple[str, ...], name: str) -> int:
    return names.index(name) if name in names else len(names)
