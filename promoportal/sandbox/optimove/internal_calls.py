"""
The HTTP calls between the two halves of Optimove: campaigns and Promotions.

A header contains a random secret, so that no other client can make such a call.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable, Mapping

from promoportal.sandbox.messages import Request, is_same

SIDE = "inside"
_HEADER = "X-Inside"

# A function that posts a body with headers to a path of this server, and returns the
# status of the response.
Tell = Callable[[str, bytes, Mapping[str, str]], Awaitable[int]]


class InternalCallFailed(Exception):
    """An internal call got no response, or a response with a status other than 200."""


class Inside:
    """The connection between the two halves of Optimove."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._secret = secrets.token_urlsafe(32)

    def comes_from(self, request: Request) -> bool:
        """Return whether a request has the secret of the internal calls."""
        return is_same(request.header(_HEADER), self._secret)

    async def tell(self, path: str, body: object) -> None:
        """Post a body to the other half of Optimove."""
        headers = {_HEADER: self._secret, "Content-Type": "application/json"}
        try:
            status = await self._tell(path, json.dumps(body).encode(), headers)
        except (OSError, TimeoutError) as error:
            msg = f"No response from {path}: {type(error).__name__}."
            raise InternalCallFailed(msg) from error
        if status != 200:
            raise InternalCallFailed(f"{path} returned the status {status}.")
