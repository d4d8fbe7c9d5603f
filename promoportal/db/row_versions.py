"""
Versions of rows: digests of all columns that a decision about a row depends on.

A page contains the versions of its rows, and its forms post them. A service compares
them with the locked rows. A row that changed in the meantime is skipped, because the
user decided about something else.

A version has one digest for each part of the row. So an action can depend on some parts
only: progress does not prevent a pause, but new figures prevent a resume.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from django.db.models import Model
from django.utils.crypto import salted_hmac

from promoportal.db.bulk_result import SkipKind, SkipReason

Seen = Mapping[int, str]
"""The version of each row that the user saw, by primary key."""
Part = Callable[[Sequence[Any]], Mapping[int, Any]]
"""A function that returns the values of a part for each of the rows."""

CHANGED = SkipReason(
    SkipKind.CHANGED, "it changed since you opened the page: look at it again"
)
_LENGTH = 16
_SALT = "promoportal.row_versions"
_KEY = re.compile("[0-9]{1,18}")
_parts: defaultdict[type[Model], dict[str, Part]] = defaultdict(dict)


def part(model: type[Model], name: str) -> Callable[[Part], Part]:
    """Add a part, whose values are not columns of the row, to the model's versions."""

    def add(function: Part) -> Part:
        _parts[model][name] = function
        return function

    return add


def parts_of(model: type[Model]) -> dict[str, Part]:
    """Return all parts of the model's versions: its columns, and the added parts."""
    own: Mapping[str, Sequence[str]] = getattr(model, "versioned", {})
    return {name: _columns(names) for name, names in own.items()} | _parts[model]


def versions(rows: Sequence[Any]) -> dict[int, str]:
    """Return the version of each row, by primary key. All rows have the same model."""
    if not rows:
        return {}
    digests: dict[int, list[str]] = {row.pk: [] for row in rows}
    for name, function in parts_of(type(rows[0])).items():
        for pk, values in function(rows).items():
            digests[pk].append(f"{name}-{_digest(values)}")
    return {pk: ".".join(found) for pk, found in digests.items()}


def version(row: Model) -> str:
    return versions([row])[row.pk]


def only(seen: str, names: Iterable[str]) -> str:
    """Return the version with these parts only."""
    kept = set(names)
    return ".".join(each for each in _split(seen) if each.partition("-")[0] in kept)


def has_parts(seen: str, names: Iterable[str]) -> bool:
    """Return whether the version has all of these parts."""
    return {each.partition("-")[0] for each in _split(seen)} >= set(names)


def changed(row: Model, seen: Seen | None) -> SkipReason | None:
    """
    Return CHANGED if the row differs from what the user saw in one of the seen parts.

    If `seen` is None, the decision is not about a page, so nothing is compared. A row
    that `seen` does not contain counts as changed. The caller must have locked the row.
    """
    if seen is None:
        return None
    before = set(_split(seen.get(row.pk, "")))
    return None if before and before <= set(_split(version(row))) else CHANGED


def encode(seen: Seen) -> str:
    """Return the versions as the text of a form field."""
    return ",".join(f"{pk}:{each}" for pk, each in seen.items())


def decode(fields: Iterable[str]) -> dict[int, str]:
    """Return the versions in form fields that `encode` made, without invalid ones."""
    found = {}
    for each in ",".join(fields).split(","):
        pk, _, seen = each.partition(":")
        if _KEY.fullmatch(pk):
            found[int(pk)] = seen
    return found


def _split(seen: str) -> list[str]:
    return [each for each in seen.split(".") if each]


def _columns(names: Sequence[str]) -> Part:
    return lambda rows: {row.pk: [getattr(row, name) for name in names] for row in rows}


def _digest(values: Any) -> str:
    text = json.dumps(values, sort_keys=True, default=str)
    # The row may contain a code that the reader of the page must not see. Without a
    # secret key, the code could be guessed: the digest would show which guess is right.
    return salted_hmac(_SALT, text, algorithm="sha256").hexdigest()[:_LENGTH]
