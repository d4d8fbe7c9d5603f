"""
A process that waits for one job of its queue, and prints the key of the job.

Only NOTIFY can start the job within a test: the process polls after ten minutes.
"""

from __future__ import annotations

import sys

import django
from django.conf import settings

if __name__ == "__main__":
    # Before the import of django-q2, which reads the settings then.
    settings.Q_CLUSTER |= {"poll": 600}
    django.setup()
    from promoportal.jobs import broker

    broker_ = broker.PortalBroker("portal")
    claimed: list[int] = []
    while not claimed:
        claimed = [pk for pk, _ in broker_.dequeue()]
    sys.stdout.write(f"{claimed[0]}\n")
