from __future__ import annotations

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class PortalAdminConfig(AdminConfig):
    default_site = "promoportal.admin.PortalSite"

    def ready(self) -> None:
        super().ready()
        # Imported last: these modules extend or replace pages of the apps' modules.
        from promoportal import dashboard  # noqa: F401
        from promoportal.admin import accounts

        accounts.register()


class PromoportalConfig(AppConfig):
    name = "promoportal"
    verbose_name = "Portal"

    def ready(self) -> None:
        from promoportal import checks, pipeline
        from promoportal.admin import roles

        checks.register()
        pipeline.connect()
        roles.connect()
