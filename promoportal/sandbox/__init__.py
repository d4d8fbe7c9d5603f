"""
Both far sides on your desk: Optimove, and the operator's platform.

Written from the vendor's documents and not from our clients: if both shared a line, a
mistake in it would agree with itself. Nothing of ours is imported here, and nothing here
is imported in production.
"""

from __future__ import annotations

from promoportal.sandbox._books import Agreement, Books, PlatformBook, VendorBook
from promoportal.sandbox._box import Box, serving
from promoportal.sandbox._catalogue import CATALOGUE
from promoportal.sandbox._faults import Fault
from promoportal.sandbox._journal import Taken
from promoportal.sandbox._listeners import Listener
from promoportal.sandbox._notices import Posted
from promoportal.sandbox._outbox import Mailing
from promoportal.sandbox._outcomes import Promotion, Tier
from promoportal.sandbox._platform import Capability, Credit
from promoportal.sandbox._promotions import Redeemed
from promoportal.sandbox._ratelimit import SlidingWindow
from promoportal.sandbox._running import run
from promoportal.sandbox._sandbox import Call, Options

__all__ = [
    "CATALOGUE",
    "Agreement",
    "Books",
    "Box",
    "Call",
    "Capability",
    "Credit",
    "Fault",
    "Listener",
    "Mailing",
    "Options",
    "PlatformBook",
    "Posted",
    "Promotion",
    "Redeemed",
    "SlidingWindow",
    "Taken",
    "Tier",
    "VendorBook",
    "run",
    "serving",
]
