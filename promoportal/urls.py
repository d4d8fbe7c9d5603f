from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from promoportal import customers, health
from promoportal.admin import refusals

handler403 = refusals.answer
_staff = admin.site.admin_view

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("", include("executions.urls")),
    path("admin/customers/", _staff(customers.search), name="customers"),
    path(
        "admin/customers/<path:customer>/", _staff(customers.customer), name="customer"
    ),
    path("admin/", admin.site.urls),
    path("healthz", health.healthz),
    path("readyz", health.readyz),
]
