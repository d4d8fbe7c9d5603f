"""
What staff call what the vendor tells of by an id alone: a campaign, a promotion.

The id stays, and goes wherever it went before. A name is for people to read.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import ClassVar

from django.contrib.postgres.indexes import OpClass
from django.db import models
from django.db.models.functions import Upper

MAX_LENGTH = 100
# Control characters, marks of direction and breaks: unseen, they change what is read.
_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
# Two of these only join what they stand between, as in an emoji or in Persian.
_JOINERS = "\u200c\u200d"
# Letters and signs by the book, but blank: Hangul's fillers, and Braille without a dot.
_BLANK = "\u115f\u1160\u2800\u3164\uffa0"


class NoName(Exception):
    """Nothing is called so; the sentence says why."""


class Named(models.Model):
    """What the vendor has an id for, and staff perhaps a name."""

    reference = models.CharField(max_length=200, unique=True)
    # The database has a default too, for what is added while older code still runs.
    name = models.CharField(
        max_length=MAX_LENGTH, blank=True, default="", db_default=""
    )

    class Meta:
        abstract = True
        indexes: ClassVar[list[models.Index]] = [
            # Found by how it begins, in upper or lower case.
            models.Index(
                OpClass(Upper("name"), name="text_pattern_ops"),
                name="%(class)s_by_name",
            )
        ]

    @property
    def called(self) -> str:
        """Its name and its id, as plain text; its id alone if it has no name."""
        return f"{self.name} ({self.reference})" if self.name else self.reference


def composed(text: str) -> str:
    """In one of the ways Unicode has of writing the same, so that it is found again."""
    return unicodedata.normalize("NFC", text)


def as_name(said: str) -> str:
    """
    A name as it is kept.

    :raises NoName: with the sentence that says what is wrong with it
    """
    name = composed(said).strip()
    if len(name) > MAX_LENGTH:
        raise NoName(f"Nothing was done: a name has {MAX_LENGTH} characters at most.")
    if any(unicodedata.category(one) in _UNSEEN for one in _unjoined(name)):
        raise NoName(
            "Nothing was done: the name holds a character that nobody sees, such as a "
            "line break. Type it anew."
        )
    if name and not any(_is_seen(one, "LNPS") for one in name):
        raise NoName(
            "Nothing was done: nobody would see this name. Type a letter, a digit or "
            "another character that can be seen."
        )
    return name


def _unjoined(name: str) -> Iterator[str]:
    """Its characters but for the joiners that stand where they belong."""
    for before, one, after in zip(f" {name}", name, f"{name[1:]} ", strict=False):
        is_between = _is_seen(before, "LMNPS") and _is_seen(after, "LMNPS")
        if one not in _JOINERS or not is_between:
            yield one


def _is_seen(one: str, kinds: str) -> bool:
    return unicodedata.category(one)[0] in kinds and one not in _BLANK
