"""Clients of Optimove's APIs, and the contract that describes them."""

from __future__ import annotations

from promoportal.optimove import rate_limiter
from promoportal.optimove.contract import Contract, Meaning, current, load
from promoportal.optimove.contract_reader import ContractError
from promoportal.optimove.external_api import (
    ExecutedCampaign,
    External,
    RegisteredListener,
)
from promoportal.optimove.promotions_api import (
    CursorRefused,
    Promotions,
    Refusal,
    Verdict,
)
from promoportal.optimove.records import (
    Page,
    Redemption,
    Reward,
    Row,
    reread,
    same_but_for_id,
    stand_in,
)

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
    "current",
    "load",
    "rate_limiter",
    "reread",
    "same_but_for_id",
    "stand_in",
]
