"""The limits of a promotion: a cap on recipients, a budget, unique codes."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

from promoportal.sandbox.engine.model import Account, Outcome, Promotion, Status
from promoportal.sandbox.engine.rounding import EXACT


def rolled(account: Account, day: date) -> Account:
    """
    Return the account for an allocation on `day`.

    ASSUMED: on a later day, the daily count starts at 0. An allocation for an earlier
    day counts for the account's day.
    """
    if account.day is None or account.day < day:
        return replace(account, day=day, today=0)
    return account


class Limits:
    """The remaining cap, budget and codes, while customers are served one by one."""

    def __init__(self, promotion: Promotion, account: Account) -> None:
        cap, budget = promotion.cap, promotion.budget
        self._account = account
        self._budget = budget
        self._codes = promotion.unique_codes
        # The rest of the cap and the rest of the budget; None without cap or budget.
        self._places = cap.recipients - cap.used(account) if cap else None
        self._left = EXACT.subtract(budget.total, account.spent) if budget else None
        self._served = 0
        self._codes_used = account.codes_used

    def account(self) -> Account:
        """Return the account, including the customers served so far."""
        spent = self._account.spent
        if self._budget and self._left is not None:
            spent = EXACT.subtract(self._budget.total, self._left)
        return replace(
            self._account,
            spent=spent,
            recipients=self._account.recipients + self._served,
            today=self._account.today + self._served,
            codes_used=self._codes_used,
        )

    def serve(self, offer: Outcome) -> Outcome:
        """
        Return the offer, or the outcome of the first limit that the offer exceeds.

        CONFIRMED (optimove.md, section 5): cap, budget, unique codes with a fallback.
        ASSUMED: the limits are checked in this order. An offer that exceeds a limit
        uses nothing of any limit, so the next customer may still be served.
        """
        cost = offer.value or Decimal(0)
        refusal = self._refusal(cost)
        if refusal is not None:
            return Outcome(offer.position, refusal)
        code = self._take(cost)
        return offer if code is None else Outcome(*offer[:4], unique_code=code)

    def _refusal(self, cost: Decimal) -> Status | None:
        if self._places is not None and self._served >= self._places:
            return Status.AUDIENCE_CAP_REACHED
        if self._left is not None and cost > self._left:
            return Status.BUDGET_EXCEEDED
        if self._codes and self._codes.fallback is None and not self._has_code():
            return Status.NO_CODE_AVAILABLE
        return None

    def _take(self, cost: Decimal) -> str | None:
        """Count one customer, and return the unique code, the fallback, or None."""
        self._served += 1
        if self._left is not None:  # ASSUMED: without a budget, nothing is spent
            self._left = EXACT.subtract(self._left, cost)
        if not self._codes:
            return None
        if not self._has_code():
            return self._codes.fallback
        self._codes_used += 1
        return self._codes.codes[self._codes_used - 1]

    def _has_code(self) -> bool:
        return self._codes is not None and self._codes_used < len(self._codes.codes)
