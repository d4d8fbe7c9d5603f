"""The capability of a platform, which decides how the portal retries a call."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.core.exceptions import ImproperlyConfigured

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DURATION = re.compile(r"([1-9][0-9]{0,4})([smhd])")


@dataclass(frozen=True, slots=True)
class Capability:
    """
    A platform's handling of a key that it has seen before.

    Idempotent: within `remembers_for` of its first call, a key is credited only once.
    Askable: the platform returns the result of a key. The portal trusts a "not found"
    only if at least `settle_grace` has passed since the lease ended.

    `address` is where the platform is, without secrets: a platform at another address
    may not know the key. It is recorded with each request.
    """

    idempotent: bool
    askable: bool
    remembers_for: timedelta = timedelta(hours=24)
    settle_grace: timedelta = timedelta(seconds=60)
    address: str = ""

    @classmethod
    def parse(cls, text: str) -> Capability:
        """
        Parse `idempotent,askable,remembers_for=48h`, or `neither`.

        :raises ImproperlyConfigured: with a sentence for each mistake
        """
        return _Parser(text).capability()

    @property
    def settles_by_itself(self) -> bool:
        """Return whether a call without a response can be resolved without staff."""
        return self.idempotent or self.askable


@dataclass
class _Parser:
    text: str
    words: set[str] = field(default_factory=set)
    durations: dict[str, Any] = field(default_factory=dict)
    mistakes: list[str] = field(default_factory=list)

    def capability(self) -> Capability:
        for part in self.text.split(","):
            self._read(part.strip())
        self._check()
        if self.mistakes:
            raise ImproperlyConfigured(" ".join(self.mistakes))
        return Capability(
            idempotent="idempotent" in self.words,
            askable="askable" in self.words,
            **self.durations,
        )

    def _read(self, part: str) -> None:
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if name in self.words or name in self.durations:
            self._refuse(f"says {name} twice")
        elif name in _NEEDS:
            self._read_duration(name, value)
        elif name in _WORDS and not equals:
            self.words.add(name)
        else:
            self._refuse(
                f"says {part!r}; it may say idempotent and askable, or neither, and "
                "remembers_for=24h and settle_grace=60s"
            )

    def _read_duration(self, name: str, value: str) -> None:
        match = _DURATION.fullmatch(value)
        if match:
            self.durations[name] = timedelta(**{_UNITS[match[2]]: int(match[1])})
        else:
            self._refuse(f"says {name}={value}; it must be a time such as 90s or 48h")

    def _check(self) -> None:
        if "neither" in self.words and len(self.words) > 1:
            self._refuse("says neither, and something else as well")
        if not self.words and not self.mistakes:
            self._refuse("must say idempotent, askable, or neither")
        for name in self.durations:
            if _NEEDS[name] not in self.words:
                self._refuse(f"says {name}, which means nothing without {_NEEDS[name]}")

    def _refuse(self, mistake: str) -> None:
        self.mistakes.append(f"PLATFORM_CAPABILITY {mistake}.")


_WORDS = frozenset({"idempotent", "askable", "neither"})
_NEEDS = {"remembers_for": "idempotent", "settle_grace": "askable"}
