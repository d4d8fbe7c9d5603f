"""The site, and what every page of it shares."""

from __future__ import annotations

from django.contrib.admin import AdminSite


class PortalSite(AdminSite):
    site_header = "promoportal"
    site_title = "promoportal"
    index_title = "Operations"
