from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from promoportal.admin import permission_denied
from promoportal.dashboard import customers
from promoportal.operations import health

handler403 = permission_denied.answer
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
