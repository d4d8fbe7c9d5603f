"""The admin site, and the parts that its pages are composed of."""

from __future__ import annotations

from promoportal.admin.site import PortalSite

__all__ = ["PortalSite"]
