"""The operator's side of Optimove's Auto Flow."""

from __future__ import annotations

__version__ = "0.1.0"
