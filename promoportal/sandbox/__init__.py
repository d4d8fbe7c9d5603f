"""
Simulators of Optimove and of an operator's platform, for local use.

The simulators follow Optimove's documents. They share no code with the portal's
clients, because tests would not find a mistake in shared code.
"""

from __future__ import annotations

from promoportal.sandbox.faults import Fault
from promoportal.sandbox.journal import Taken
from promoportal.sandbox.ledger_comparison import (
    Agreement,
    Books,
    PlatformBook,
    VendorBook,
)
from promoportal.sandbox.operator_platform import Capability, Credit
from promoportal.sandbox.optimove.accepted_redemptions import Redeemed
from promoportal.sandbox.optimove.email_delivery import Mailing
from promoportal.sandbox.optimove.rate_limit import SlidingWindow
from promoportal.sandbox.optimove.registered_listeners import Listener
from promoportal.sandbox.optimove.sample_promotions import CATALOGUE
from promoportal.sandbox.optimove.webhook_sender import Posted
from promoportal.sandbox.optimove.weighted_outcomes import Promotion, Tier
from promoportal.sandbox.server.process import run
from promoportal.sandbox.server.threaded_server import SandboxHandle, serving
from promoportal.sandbox.simulation import Call, Options

__all__ = [
    "CATALOGUE",
    "Agreement",
    "Books",
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
    "SandboxHandle",
    "SlidingWindow",
    "Taken",
    "Tier",
    "VendorBook",
    "run",
    "serving",
]
