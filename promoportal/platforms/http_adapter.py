"""The adapter for platforms with the portal's HTTP contract: see docs/vendor.md."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Self
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings

from promoportal import wire
from promoportal.platforms.capability import Capability
from promoportal.platforms.orders import Order, Receipt

_MAX_LENGTH = 200
_ACTIVATE = ("POST", "/rewards")
_LOOK_UP = ("GET", "/rewards/{key}")


class HttpPlatform:
    """An adapter for the operator's platform over HTTP, which threads may share."""

    asks = {"activate": " ".join(_ACTIVATE), "look_up": " ".join(_LOOK_UP)}

    def __init__(
        self,
        address: str,
        *,
        token: str,
        capability: Capability,
        threads: int = 1,
    ) -> None:
        self.capability = replace(capability, address=_without_secrets(address))
        self._client = wire.Client(
            address,
            side="platform",
            secrets={"Authorization": f"Bearer {token}"} if token else {},
            threads=threads,
        )

    @classmethod
    def from_settings(cls) -> Self:
        return cls(
            settings.PLATFORM_URL,
            token=settings.PLATFORM_TOKEN,
            capability=Capability.parse(settings.PLATFORM_CAPABILITY),
            threads=settings.PLATFORM_CONCURRENCY,
        )

    def activate(self, order: Order, *, key: UUID) -> Receipt:
        """
        Activate a reward.

        :raises wire.WireError: if the platform did not confirm the activation
        """
        answer = self._client.change(
            *_ACTIVATE,
            safe_to_repeat=self.capability.idempotent,
            headers={"Idempotency-Key": str(key)},
            body=_body(order),
        )
        return _receipt(answer)

    def look_up(self, key: UUID) -> Receipt | None:
        """
        Return the receipt for a key; None if the platform does not know the key.

        :raises wire.WireError: any of its classes, except Unanswered
        """
        method, path = _LOOK_UP
        try:
            return _receipt(self._client.ask(method, path.format(key=key)))
        except wire.Rejected as error:
            if error.status == 404:
                return None
            raise

    def close(self) -> None:
        self._client.close()


def _without_secrets(address: str) -> str:
    """Return the address in one form, without user name, password and query."""
    parts = urlsplit(address)
    host = parts.netloc.rpartition("@")[2].lower()
    return f"{parts.scheme}://{host}{parts.path.rstrip('/')}"


def _body(order: Order) -> wire.Json:
    return {
        "customerId": order.customer,
        "reward": asdict(order.reward) if order.reward else None,
        "uniqueCode": order.unique_code,
        "promotionId": order.promotion,
        "promotionCode": order.promotion_code,
        "occurrenceId": order.occurrence,
        "properties": dict(order.properties),
    }


def _receipt(answer: wire.Answer) -> Receipt:
    # Only 200 and 201 confirm the reward. A 202, for example, only announces it.
    body = answer.body if answer.evidence.status in {200, 201} else None
    reference = body.get("reference") if isinstance(body, dict) else None
    if isinstance(reference, int) and not isinstance(reference, bool):
        reference = str(reference)
    if not isinstance(reference, str) or not 0 < len(reference.strip()) <= _MAX_LENGTH:
        raise wire.Malformed(
            "The platform's answer is no receipt: it has no usable reference.",
            answer.evidence,
        )
    return Receipt(wire.clean_text(reference.strip()), answer.evidence)
