"""
Optimove's page at `/`: campaigns, promotions, listeners and the last requests.

It is plain HTML without scripts; everything is escaped in one place.
"""

from __future__ import annotations

from promoportal.sandbox.control.page.forms import SIDES, PageEndpoint

__all__ = ["SIDES", "PageEndpoint"]
