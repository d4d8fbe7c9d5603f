"""Optimove, in the portal's words."""

from __future__ import annotations

from promoportal.optimove import allowance
from promoportal.optimove._contract import Contract, Meaning, current, load
from promoportal.optimove._external import (
    ExecutedCampaign,
    External,
    RegisteredListener,
)
from promoportal.optimove._promotions import (
    CursorRefused,
    Promotions,
    Refusal,
    Verdict,
)
from promoportal.optimove._records import Page, Redemption, Reward, Row, reread
from promoportal.optimove._tables import ContractError

__all__ = [
    "Contract",
    "ContractError",
    "CursorRefused",
    "ExecutedCampaign",
    "External",
    "Meaning",
    "Page",
    "Promotions",
    "Redemption",
    "Refusal",
    "RegisteredListener",
    "Reward",
    "Row",
    "Verdict",
    "allowance",
    "current",
    "load",
    "reread",
]
