"""
The vendor's page at `/`: campaigns, promotions, listeners and the last requests.

Plain HTML without a line of script; whatever is shown is escaped in one place.
"""

from __future__ import annotations

from promoportal.sandbox.control.page.forms import SIDES, Door

__all__ = ["SIDES", "Door"]
