"""Signals, sent in the transaction of the change."""

from __future__ import annotations

from django.dispatch import Signal

waiting = Signal()  # redemptions are due at once
