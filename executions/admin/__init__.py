"""Admin pages of listeners, deliveries, campaigns, executions and customers."""

from __future__ import annotations

from executions.admin import campaigns, deliveries, executions, listeners, triggers

__all__ = ["campaigns", "deliveries", "executions", "listeners", "triggers"]
