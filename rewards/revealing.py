"""
Who may see an assignment's code, and what was said of it as it came.

Nobody sees them by looking. Whoever may, says why; that is kept in the log, and what is
in the log is the permission: for some minutes, for this row, for this person.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import QuerySet
from django.utils import timezone

from promoportal.admin import log
from promoportal.admin.deeds import Deed, Done
from rewards.models import Assignment

PERMISSION = "rewards.reveal_assignment"
# How long it can be seen after it was said why.
FOR = timedelta(minutes=5)
# Less than this is no code, and stands in many a word.
_SHORTEST = 4


def _reveal(rows: QuerySet[Assignment], _by: Any, _why: str) -> Done:
    """Nothing is moved: that it was said why is all there is to it."""
    return Done(done=rows.count())


REVEAL = Deed(
    "reveal",
    "Show code and payloads",
    PERMISSION,
    _reveal,
    said=("shows its code and payloads", "show their codes and payloads"),
    in_list=False,
    is_only_logged=True,
    kind=log.Kind.REVEALED,
)


def is_revealed(row: Assignment, user: Any) -> bool:
    """Whether this person said lately why they must see it, and still may."""
    return row.pk in revealed([row], user)


def revealed(rows: Sequence[Assignment], user: Any) -> set[int]:
    """Which of these rows it holds for, by key."""
    if not user.has_perm(PERMISSION):
        return set()
    said = LogEntry.objects.filter(
        user=user,
        content_type=ContentType.objects.get_for_model(Assignment),
        object_id__in=[str(row.pk) for row in rows],
        action_time__gte=timezone.now() - FOR,
        action_flag=log.Kind.REVEALED,
    )
    keys = set(said.values_list("object_id", flat=True))
    return {row.pk for row in rows if str(row.pk) in keys}


def hidden(text: str, row: Assignment) -> str:
    """What somebody said about the row, without its code: a far side may repeat it."""
    code = row.unique_code
    if len(code) < _SHORTEST:
        return text
    for form in (code, json.dumps(code)[1:-1], code.replace("/", "\\/"), quote(code)):
        text = text.replace(form, masked(code))
    return text


def masked(code: str) -> str:
    """Enough to recognise a code by, not to use it."""
    return f"••••{code[-4:]}" if len(code) > 8 else "••••" if code else ""
