"""
The calls that Optimove and Promotions make to each other, over a real connection.

They carry a secret of this run, so that no one else can make them, and are not counted
against the tenant's limit.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable, Mapping

from promoportal.sandbox.messages import Asked, is_same

SIDE = "inside"
_HEADER = "X-Inside"

# Posts a body to a path of our own address with these headers, and gives the status.
Tell = Callable[[str, bytes, Mapping[str, str]], Awaitable[int]]


class InternalCallFailed(Exception):
    """A call inside did not arrive, or was not taken."""


class Inside:
    """The line between the two halves of the vendor."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._secret = secrets.token_urlsafe(32)

    def comes_from(self, asked: Asked) -> bool:
        """Say whether one half of the vendor is asking the other."""
        return is_same(asked.header(_HEADER), self._secret)

    async def tell(self, path: str, body: object) -> None:
        """
        Post to the other half.

        :raises Untold: if that does not answer 200
        """
        headers = {_HEADER: self._secret, "Content-Type": "application/json"}
        try:
            status = await self._tell(path, json.dumps(body).encode(), headers)
        except (OSError, TimeoutError) as error:
            msg = f"{path} was not answered: {type(error).__name__}."
            raise InternalCallFailed(msg) from error
        if status != 200:
            raise InternalCallFailed(f"{path} answered {status}.")
