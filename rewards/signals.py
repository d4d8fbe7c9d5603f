"""
What has become true; each is sent inside the transaction that made it so.

Sent once for many assignments: with a job for each, a large campaign would fill the
queue.
"""

from __future__ import annotations

from django.dispatch import Signal

collecting = Signal()  # something is to be collected
owed = Signal()  # assignments may be claimed
cleared = Signal()  # more passed the limits than could be let go at once
released = Signal()  # one assignment was released by a person: `row`
retrying = Signal()  # many are to be tried again
activated = Signal()  # assignments became active: `keys`, their primary keys
