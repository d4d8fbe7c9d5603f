"""What has become true; sent inside the transaction that made it so."""

from __future__ import annotations

from django.dispatch import Signal

waiting = Signal()  # redemptions wait to be reported at once
