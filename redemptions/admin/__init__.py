"""What the vendor was told, to look at and to tell again."""

from __future__ import annotations

from redemptions.admin import assignment_panels, redemptions, reports

__all__ = ["assignment_panels", "redemptions", "reports"]
