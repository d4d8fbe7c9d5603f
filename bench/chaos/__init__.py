"""
A fault test of the whole portal, which counts the credits per reward.

All processes run as in production, with the workers of two hosts. Processes are killed
from outside, and the results are read from the ledgers of the simulators.
"""

from __future__ import annotations

from bench.chaos.fault_injection import FaultTest
from bench.chaos.target import SystemUnderTest
from bench.chaos.verdict import Verdict, judge, settle

__all__ = ["FaultTest", "SystemUnderTest", "Verdict", "judge", "settle"]
