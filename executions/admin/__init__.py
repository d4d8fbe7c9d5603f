"""Admin pages of webhook deliveries, executions and all that belongs to them."""

from __future__ import annotations

from executions.admin import campaigns, deliveries, executions, listeners, triggers

__all__ = ["campaigns", "deliveries", "executions", "listeners", "triggers"]
