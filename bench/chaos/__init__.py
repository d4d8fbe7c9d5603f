"""
A storm over the whole portal, and the count that it leaves: credits per reward.

Everything runs as in production, with two hosts' workers. What is killed is killed from
outside, and what became of it is read from the far sides' own books.
"""

from __future__ import annotations

from bench.chaos.fault_injection import FaultTest
from bench.chaos.target import SystemUnderTest
from bench.chaos.verdict import Verdict, judge, settle

__all__ = ["FaultTest", "SystemUnderTest", "Verdict", "judge", "settle"]
