"""What the vendor told us, to look at and to have read, collected or stopped again."""

from __future__ import annotations

from executions.admin import campaigns, deliveries, executions, listeners, triggers

__all__ = ["campaigns", "deliveries", "executions", "listeners", "triggers"]
