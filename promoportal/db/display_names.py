"""
Display names that staff give to campaigns and promotions.

Optimove sends only their IDs. The portal shows a display name together with the ID.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import ClassVar

from django.contrib.postgres.indexes import OpClass
from django.db import models
from django.db.models.functions import Upper

MAX_LENGTH = 100
# Control characters, direction marks and breaks: invisible, but they change a text.
_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
# Two invisible characters that only join their neighbours, as in an emoji or Persian.
_JOINERS = "\u200c\u200d"
# Letters and symbols that look blank: Hangul's fillers, and Braille without a dot.
_BLANK = "\u115f\u1160\u2800\u3164\uffa0"


class NoName(Exception):
    """An error: a text cannot be a display name. The message gives the reason."""


class Named(models.Model):
    """A row with an ID from Optimove, and an optional display name from staff."""

    reference = models.CharField(max_length=200, unique=True)
    # A database default as well: in an upgrade, older code still adds rows.
    name = models.CharField(
        max_length=MAX_LENGTH, blank=True, default="", db_default=""
    )

    class Meta:
        abstract = True
        indexes: ClassVar[list[models.Index]] = [
            # For searches by prefix that ignore upper and lower case.
            models.Index(
                OpClass(Upper("name"), name="text_pattern_ops"),
                name="%(class)s_by_name",
            )
        ]

    @property
    def called(self) -> str:
        """Return the display name and the ID as plain text, or only the ID."""
        return f"{self.name} ({self.reference})" if self.name else self.reference


def composed(text: str) -> str:
    """Return the text in Unicode's composed form, so that searches find it."""
    return unicodedata.normalize("NFC", text)


def as_name(text: str) -> str:
    """
    Return the display name to store for a text.

    :raises NoName: with a sentence that describes the problem
    """
    name = composed(text).strip()
    if len(name) > MAX_LENGTH:
        raise NoName(f"Nothing was done: a name has {MAX_LENGTH} characters at most.")
    if any(unicodedata.category(character) in _UNSEEN for character in _unjoined(name)):
        raise NoName(
            "Nothing was done: the name holds a character that nobody sees, such as a "
            "line break. Type it anew."
        )
    if name and not any(_is_seen(character, "LNPS") for character in name):
        raise NoName(
            "Nothing was done: nobody would see this name. Type a letter, a digit or "
            "another character that can be seen."
        )
    return name


def _unjoined(name: str) -> Iterator[str]:
    """Yield the characters, except joiners between two visible characters."""
    for before, character, after in zip(f" {name}", name, f"{name[1:]} ", strict=False):
        is_between = _is_seen(before, "LMNPS") and _is_seen(after, "LMNPS")
        if character not in _JOINERS or not is_between:
            yield character


def _is_seen(character: str, kinds: str) -> bool:
    return unicodedata.category(character)[0] in kinds and character not in _BLANK
