"""Calls from an operator's side to the simulated services."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import requests

from promoportal import sandbox

TIMEOUT = 5


@dataclass
class Operator:
    """A client with the right key and the right token."""

    box: sandbox.SandboxHandle
    session: requests.Session

    def ask(self, path: str, method: str = "GET", **rest: Any) -> requests.Response:
        """Call the External API."""
        return self._vendor(method, f"{self.box.optimove_url}/{path}", **rest)

    def post(self, path: str, body: object, **rest: Any) -> requests.Response:
        return self.ask(path, "POST", json=body, **rest)

    def assignments(self, occurrence: str, **rest: object) -> requests.Response:
        body = {"occurrenceId": occurrence, **rest}
        return self._promotions("customerAssignments", body)

    def pages(self, occurrence: str, **rest: object) -> Iterator[dict[str, Any]]:
        """Yield every page, following the tokens."""
        page = self.assignments(occurrence, **rest).json()
        yield page
        while token := page.get("nextPageToken"):
            page = self.assignments(occurrence, pageToken=token, **rest).json()
            yield page

    def listed(self, occurrence: str, **rest: object) -> list[Any]:
        pages = self.pages(occurrence, **rest)
        return [row for page in pages for row in page["assignments"]]

    def redeem(self, redemption: object) -> requests.Response:
        return self._promotions("redemptions", redemption)

    def redeem_all(self, redemptions: object) -> requests.Response:
        return self._promotions("redemptions/batch", {"redemptions": redemptions})

    def reward(
        self, order: object, *, key: str | None = "fresh", **rest: Any
    ) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.box.platform_token}"}
        if key is not None:
            headers["Idempotency-Key"] = str(uuid.uuid4()) if key == "fresh" else key
        url = f"{self.box.platform_url}/rewards"
        return self.session.post(
            url, json=order, headers=headers, **{"timeout": TIMEOUT} | rest
        )

    def look_up(self, key: str) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.box.platform_token}"}
        url = f"{self.box.platform_url}/rewards/{key}"
        return self.session.get(url, headers=headers, timeout=TIMEOUT)

    def control(self, method: str, path: str, **rest: Any) -> requests.Response:
        url = f"{self.box.control_url}/{path}"
        return self.session.request(method, url, timeout=TIMEOUT, **rest)

    def _promotions(self, path: str, body: object) -> requests.Response:
        return self._vendor("POST", f"{self.box.promotions_url}/v1/{path}", json=body)

    def _vendor(self, method: str, url: str, **rest: Any) -> requests.Response:
        headers = {"X-API-KEY": self.box.api_key} | rest.pop("headers", {})
        return self.session.request(
            method, url, headers=headers, **{"timeout": TIMEOUT} | rest
        )


def order_of(row: dict[str, Any], occurrence: str, **changes: object) -> dict[str, Any]:
    """Return the platform's order for a row as Optimove lists it."""
    return {
        "customerId": row["customerId"],
        "reward": row["reward"],
        "uniqueCode": row["uniqueCode"],
        "promotionId": row["promotionId"],
        "promotionCode": row["promotionCode"],
        "occurrenceId": occurrence,
        "properties": row["properties"],
    } | changes


def redemption_of(
    row: dict[str, Any], occurrence: str, **changes: object
) -> dict[str, Any]:
    return {
        "occurrenceId": occurrence,
        "promotionId": row["promotionId"],
        "customerId": row["customerId"],
        "assignmentId": row["assignmentId"],
        "redeemedAt": "2026-01-15T10:05:00Z",
        "reference": str(uuid.uuid4()),
    } | changes
