"""
Scenarios: what an operator sets up in Optimove, in one file that is read at once.

Begin with `load`, or with the files in `shipped`; docs/scenarios.md explains them.
"""

from __future__ import annotations

from promoportal.sandbox.scenarios._customers import Customers
from promoportal.sandbox.scenarios._generated import generated
from promoportal.sandbox.scenarios._letters import context, letter
from promoportal.sandbox.scenarios._loading import load, shipped
from promoportal.sandbox.scenarios._mistakes import Mistakes
from promoportal.sandbox.scenarios._model import (
    Campaign,
    Email,
    Event,
    Scenario,
    TargetGroup,
)

__all__ = [
    "Campaign",
    "Customers",
    "Email",
    "Event",
    "Mistakes",
    "Scenario",
    "TargetGroup",
    "context",
    "generated",
    "letter",
    "load",
    "shipped",
]
