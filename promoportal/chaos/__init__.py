"""
A storm over the whole portal, and the count that it leaves: credits per reward.

Everything runs as in production, with two hosts' workers. What is killed is killed from
outside, and what became of it is read from the far sides' own books.
"""

from __future__ import annotations

from promoportal.chaos._stage import Stage
from promoportal.chaos._storm import Storm
from promoportal.chaos._verdict import Verdict, judge, settle

__all__ = ["Stage", "Storm", "Verdict", "judge", "settle"]
