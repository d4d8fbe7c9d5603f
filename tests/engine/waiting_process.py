"""
A process that waits for one job of its queue, and says which it was handed.

Only the bell can wake it before a test is over: it would look by itself after ten minutes.
"""

from __future__ import annotations

import sys

import django
from django.conf import settings

if __name__ == "__main__":
    # Before django-q2 is imported: that is when it reads them.
    settings.Q_CLUSTER |= {"poll": 600}
    django.setup()
    from promoportal.jobs import broker

    waiting = broker.PortalBroker("portal")
    handed: list[int] = []
    while not handed:
        handed = [pk for pk, _ in waiting.dequeue()]
    sys.stdout.write(f"{handed[0]}\n")
