"""
Names that staff give to campaigns and promotions, for which Optimove sends only ids.

The id stays, and is shown wherever it was before. A name is for people to read.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import ClassVar

from django.contrib.postgres.indexes import OpClass
from django.db import models
from django.db.models.functions import Upper

MAX_LENGTH = 100
# Control characters, direction marks and breaks: invisible, they change what is read.
_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
# Two of these only join the characters around them, as in an emoji or in Persian.
_JOINERS = "\u200c\u200d"
# Letters and symbols in Unicode, but blank: Hangul's fillers, Braille without a dot.
_BLANK = "\u115f\u1160\u2800\u3164\uffa0"


class NoName(Exception):
    """A text that cannot be a name; the sentence says why."""


class Named(models.Model):
    """A row with an id from Optimove, and perhaps a name from staff."""

    reference = models.CharField(max_length=200, unique=True)
    # The database has a default, too, for rows added while older code still runs.
    name = models.CharField(
        max_length=MAX_LENGTH, blank=True, default="", db_default=""
    )

    class Meta:
        abstract = True
        indexes: ClassVar[list[models.Index]] = [
            # For searches by prefix, in upper or lower case.
            models.Index(
                OpClass(Upper("name"), name="text_pattern_ops"),
                name="%(class)s_by_name",
            )
        ]

    @property
    def called(self) -> str:
        """Return the name and the id as plain text, or the id if it has no name."""
        return f"{self.name} ({self.reference})" if self.name else self.reference


def composed(text: str) -> str:
    """Return the text in Unicode's composed form, so that searches find it."""
    return unicodedata.normalize("NFC", text)


def as_name(text: str) -> str:
    """
    Return a name as it is stored.

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
