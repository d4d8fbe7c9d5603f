from __future__ import annotations

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class PortalAdminConfig(AdminConfig):
    default_site = "promoportal.admin.PortalSite"

    def ready(self) -> None:
        super().ready()
        # After every room's admin: they are above all rooms, or in the place of others.
        from promoportal import (  # noqa: F401
            answers,
            farsides,
            howfar,
            ledgers,
            overview,
            prospects,
            replaying,
        )
        from promoportal.admin import accounts

        accounts.register()


class PromoportalConfig(AppConfig):
    name = "promoportal"
    verbose_name = "Portal"

    def ready(self) -> None:
        from promoportal import checks, pipeline, roles

        checks.register()
        pipeline.connect()
        roles.connect()
