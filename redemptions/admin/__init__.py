"""Admin pages of redemptions and redemption requests."""

from __future__ import annotations

from redemptions.admin import assignment_panels, redemptions, reports

__all__ = ["assignment_panels", "redemptions", "reports"]
