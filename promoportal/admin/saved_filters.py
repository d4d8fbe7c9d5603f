"""
What people like to narrow lists to, each kept under a name of their own.

Of a list's address only its filters are kept: not the place in it, and not what was
searched for, which is a customer's id and belongs to no shelf. A filter is a wish and
no action, so the log does not tell of it.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib.auth.models import User
from django.db import models, transaction

# Of one person, for one list: more would be a list of lists.
MAX_SAVED = 20
MAX_NAME_LENGTH = 60


class Refused(Exception):
    """It is not saved; the sentence says why."""


class SavedFilter(models.Model):
    """What one person narrows one list to, and calls so."""

    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+"
    )
    list = models.CharField(max_length=100, help_text="The model whose list it is.")
    name = models.CharField(max_length=MAX_NAME_LENGTH)
    narrowed = models.JSONField(help_text="The list's own filters, by their names.")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["by", "list", "name"], name="saved_filter_by_name"
            ),
            models.CheckConstraint(
                condition=~models.Q(name=""), name="saved_filter_has_name"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def address(self) -> str:
        """Where it leads, from the list's own page."""
        return f"?{urlencode(sorted(self.narrowed.items()))}"


def saved_by(by: Any, model: type[models.Model]) -> models.QuerySet[SavedFilter]:
    """A person's own, for one list."""
    return SavedFilter.objects.filter(by=by, list=model._meta.label_lower)


def save(
    model: type[models.Model], narrowed: dict[str, str], *, name: str, by: Any
) -> None:
    """
    Keep it under that name.

    :raises Refused: if there is nothing to keep, no room for it, or the name is taken
    """
    if not narrowed:
        raise Refused(
            "Nothing was saved: narrow the list with its filters first. What is "
            "searched for is not saved."
        )
    with transaction.atomic():
        own = _locked(by, model)
        if own.count() >= MAX_SAVED:
            raise Refused(
                f"Nothing was saved: you have {MAX_SAVED} filters for this list. "
                "Remove one first."
            )
        _demand_free(own, name)
        SavedFilter.objects.create(
            by=by, list=model._meta.label_lower, name=name, narrowed=narrowed
        )


def rename(model: type[models.Model], key: int, *, name: str, by: Any) -> None:
    """
    Call it otherwise.

    :raises Refused: if it is not there, or not theirs, or the name is taken
    """
    with transaction.atomic():
        own = _locked(by, model)
        _demand_free(own.exclude(pk=key), name)
        _demand(own.filter(pk=key).update(name=name))


def remove(model: type[models.Model], key: int, *, by: Any) -> None:
    """
    Keep it no longer.

    :raises Refused: if it is not there, or not theirs
    """
    removed, _ = saved_by(by, model).filter(pk=key).delete()
    _demand(removed)


def _locked(by: Any, model: type[models.Model]) -> models.QuerySet[SavedFilter]:
    """Theirs, which nothing is added to meanwhile: so there are never too many."""
    User.objects.select_for_update(no_key=True).get(pk=by.pk)
    return saved_by(by, model)


def _demand_free(others: models.QuerySet[SavedFilter], name: str) -> None:
    if others.filter(name=name).exists():
        raise Refused(f"Nothing was saved: you have a filter called “{name}” already.")


def _demand(found: int) -> None:
    if not found:
        raise Refused("That saved filter is not there, or no longer.")
