"""Where jobs wait."""

from __future__ import annotations

from django_q.brokers.orm import ORM


class PortalBroker(ORM):  # type: ignore[misc]
    """The queue in our own database."""
