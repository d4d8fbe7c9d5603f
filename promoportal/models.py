"""The models of the app `promoportal`, imported here so that Django finds them."""

from __future__ import annotations

from promoportal.admin.audit_log import Origin
from promoportal.admin.saved_filters import SavedFilter
from promoportal.db.database_identity import Continuity, Gap
from promoportal.db.installation import Installation
from promoportal.db.state_counts import Census
from promoportal.optimove.rate_limiter import Allowance
from promoportal.resilience.circuit_breaker import Breaker

__all__ = [
    "Allowance",
    "Breaker",
    "Census",
    "Continuity",
    "Gap",
    "Installation",
    "Origin",
    "SavedFilter",
]
