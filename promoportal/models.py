"""The project's own tables, each in the module named after it; Django looks here."""

from __future__ import annotations

from promoportal.admin.log import Origin
from promoportal.breakers import Breaker
from promoportal.census import Census
from promoportal.continuity import Continuity, Gap
from promoportal.filters import SavedFilter
from promoportal.installation import Installation
from promoportal.optimove.allowance import Allowance

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
