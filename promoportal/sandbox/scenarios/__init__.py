"""Scenarios: files with an operator's settings in Optimove (docs/scenarios.md)."""

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
