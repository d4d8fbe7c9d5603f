from __future__ import annotations

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class PortalAdminConfig(AdminConfig):
    default_site = "promoportal.admin.PortalSite"


class PromoportalConfig(AppConfig):
    name = "promoportal"
    verbose_name = "Portal"

    def ready(self) -> None:
        from promoportal import checks, pipeline

        checks.register()
        pipeline.connect()
