"""
Scenarios: files with the settings that an operator would enter in Optimove.

Start with `load`, or with the files in the folder `shipped`. docs/scenarios.md explains
the format.
"""

from __future__ import annotations

from promoportal.sandbox.scenarios.generated_customers import generated
from promoportal.sandbox.scenarios.loader import load, shipped
from promoportal.sandbox.scenarios.population import Customers
from promoportal.sandbox.scenarios.rehearsal import rehearse
from promoportal.sandbox.scenarios.rehearsal_report import as_json, as_text
from promoportal.sandbox.scenarios.scenario import Scenario, TargetGroup
from promoportal.toml.problems import InvalidFile

__all__ = [
    "Customers",
    "InvalidFile",
    "Scenario",
    "TargetGroup",
    "as_json",
    "as_text",
    "generated",
    "load",
    "rehearse",
    "shipped",
]
