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
from promoportal.sandbox.scenarios._telling import as_json, told
from promoportal.sandbox.scenarios.rehearsal import Rehearsal, rehearse

__all__ = [
    "Campaign",
    "Customers",
    "Email",
    "Event",
    "Mistakes",
    "Rehearsal",
    "Scenario",
    "TargetGroup",
    "as_json",
    "context",
    "generated",
    "letter",
    "load",
    "rehearse",
    "shipped",
    "told",
]
