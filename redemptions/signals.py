"""Signals for changes, each sent inside the transaction of its change."""

from __future__ import annotations

from django.dispatch import Signal

waiting = Signal()  # redemptions became due
