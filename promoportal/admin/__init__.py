"""The site, and what every page of it shares."""

from __future__ import annotations

from promoportal.admin.site import PortalSite

__all__ = ["PortalSite"]
