"""The campaigns of a fault test: their times, their sizes, the limits and the rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# The calls to the platform at the same time. Each takes so long that the campaigns
# last for the whole test.
CONCURRENCY = 16
# The campaign that begins after the faults.
LAST = "last"
# The customers of the campaign that is over the limits, and its limit.
_OVER = 60
_SPINS = 500
_HIGHEST = 25  # EUR: the highest value of one reward in the sandbox
# The period without faults, as a share of the faults' duration, and its limits in s.
_SHARE = 0.15
_LEAST, _MOST = 5.0, 20.0
# Seconds for which the campaigns last longer than the faults and the first period.
_REST = 40.0


@dataclass(frozen=True)
class CampaignPlan:
    """The plan for about this number of rewards, and for this duration of the faults."""

    rewards: int
    seconds: float

    def campaigns(self) -> list[tuple[float, str, int]]:
        """Return the time, kind and number of customers of each campaign, in order."""
        few = [(part / 10, "trigger", self.few) for part in range(8)]
        large = [(part, "execute", self._large) for part in (-0.1, -0.1, 0.2, 0.5)]
        large += [(1.0, LAST, 2 * self._large)]
        special = [(0.1, "over limit", _OVER), (0.3, "to cancel", self.few)]
        whole = large + few + (special if self.seconds else [])
        return sorted(
            (part * (self.seconds or 1), what, count) for part, what, count in whole
        )

    def order(self, what: str, count: int) -> tuple[str, dict[str, Any]]:
        """Return the sandbox's command for a campaign."""
        if what == "trigger":
            return "trigger", {"customers": count, "eligible": 0.8}
        more = {"promotions": ["promo-18"]} if what == "over limit" else {}
        return "execute", {"customers": count, "channels": [504, 505], **more}

    @property
    def few(self) -> int:
        """Return the number of customers of a small campaign."""
        return (self.rewards * 5 // 4 - 6 * self._large) // 8 + 1

    @property
    def _large(self) -> int:
        return self.rewards * 5 // 4 // 7

    @property
    def quiet(self) -> float:
        """Return the seconds for which the rate without faults is measured."""
        return min(max(self.seconds * _SHARE, _LEAST), _MOST)

    @property
    def call_seconds(self) -> float:
        """Return the duration of a call to the platform, so that the campaigns last."""
        return CONCURRENCY * (self.seconds + self.quiet + _REST) / self.rewards

    @property
    def limits(self) -> dict[str, str]:
        """Return limits that only the campaign `over limit` passes."""
        most = 2 * self._large
        return {
            "LIMIT_CUSTOMERS": str(most + _OVER),
            "LIMIT_VALUE": f"EUR={most * _HIGHEST},spins={_SPINS}",
            "LIMIT_REWARD": f"EUR={_HIGHEST},spins={_HIGHEST * 2}",
        }

    @property
    def variables(self) -> dict[str, str]:
        """Return the portal's environment variables for a test with faults."""
        return {"PLATFORM_CONCURRENCY": str(CONCURRENCY), **self.limits}
