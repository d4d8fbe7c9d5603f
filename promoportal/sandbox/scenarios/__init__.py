"""
Scenarios: what an operator sets up in Optimove, in one file that is read at once.

Begin with `load`, or with the files in `shipped`; docs/scenarios.md explains them.
"""

from __future__ import annotations

from promoportal.sandbox.scenarios.generated_customers import generated
from promoportal.sandbox.scenarios.loader import load, shipped
from promoportal.sandbox.scenarios.population import Customers
from promoportal.sandbox.scenarios.rehearsal import rehearse
from promoportal.sandbox.scenarios.rehearsal_report import as_json, told
from promoportal.sandbox.scenarios.scenario import Scenario, TargetGroup
from promoportal.toml.problems import InvalidFile

__all__ = [
    "Customers",
    "InvalidFile",
    "Scenario",
    "TargetGroup",
    "as_json",
    "generated",
    "load",
    "rehearse",
    "shipped",
    "told",
]
