from __future__ import annotations

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class PortalAdminConfig(AdminConfig):
    default_site = "promoportal.admin.PortalSite"

    def ready(self) -> None:
        super().ready()
        # After every room's admin: they are above all rooms, or in the place of others.
        from promoportal.admin import accounts
        from promoportal.dashboard import execution_funnel as ledgers  # noqa: F401
        from promoportal.dashboard import integration_status as farsides  # noqa: F401
        from promoportal.dashboard import next_step_panel as answers  # noqa: F401
        from promoportal.dashboard import overview  # noqa: F401
        from promoportal.dashboard import progress_column as howfar  # noqa: F401
        from promoportal.dashboard import replay_impact as replaying  # noqa: F401
        from promoportal.operations import next_step as prospects  # noqa: F401

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
