"""
A fault test of the whole portal, which counts the credits per reward.

All processes run as in production, with the workers of two hosts. The test kills and
freezes processes, and reads the results from the sandbox and from the portal.
"""

from __future__ import annotations

from bench.chaos.fault_injection import FaultTest
from bench.chaos.target import SystemUnderTest
from bench.chaos.verdict import Verdict, judge, settle

__all__ = ["FaultTest", "SystemUnderTest", "Verdict", "judge", "settle"]
