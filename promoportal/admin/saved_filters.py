"""
Filters of a list that one user saved under a name.

Only filters are saved. The page and the search term are not saved: a search term
can be a customer ID, which must not be stored. The audit log has no entry
for a saved filter, because saving one changes no other row.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib.auth.models import User
from django.db import models, transaction

# Maximum per user and list.
MAX_SAVED = 20
MAX_NAME_LENGTH = 60


class Refused(Exception):
    """A refused request to save, rename or delete a filter; the message says why."""


class SavedFilter(models.Model):
    """The filters of one list that one user saved under a name."""

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
        """Return the query string of the list with these filters."""
        return f"?{urlencode(sorted(self.narrowed.items()))}"


def saved_by(by: Any, model: type[models.Model]) -> models.QuerySet[SavedFilter]:
    """Return the filters that the user saved for one list."""
    return SavedFilter.objects.filter(by=by, list=model._meta.label_lower)


def save(
    model: type[models.Model], narrowed: dict[str, str], *, name: str, by: Any
) -> None:
    """
    Save the filters under a name.

    :raises Refused: if there are no filters, too many are saved, or the name is taken
    """
    if not narrowed:
        raise Refused(
            "Nothing was saved: narrow the list with its filters first. What is "
            "searched for is not saved."
        )
    with transaction.atomic():
        filters = _locked(by, model)
        if filters.count() >= MAX_SAVED:
            raise Refused(
                f"Nothing was saved: you have {MAX_SAVED} filters for this list. "
                "Remove one first."
            )
        _demand_free(filters, name)
        SavedFilter.objects.create(
            by=by, list=model._meta.label_lower, name=name, narrowed=narrowed
        )


def rename(model: type[models.Model], key: int, *, name: str, by: Any) -> None:
    """
    Rename a saved filter.

    :raises Refused: if the user has no such filter, or the name is taken
    """
    with transaction.atomic():
        filters = _locked(by, model)
        _demand_free(filters.exclude(pk=key), name)
        _demand(filters.filter(pk=key).update(name=name))


def remove(model: type[models.Model], key: int, *, by: Any) -> None:
    """
    Delete a saved filter.

    :raises Refused: if the user has no such filter
    """
    removed, _ = saved_by(by, model).filter(pk=key).delete()
    _demand(removed)


def _locked(by: Any, model: type[models.Model]) -> models.QuerySet[SavedFilter]:
    """Lock the user, so that `MAX_SAVED` is not exceeded; return the filters."""
    User.objects.select_for_update(no_key=True).get(pk=by.pk)
    return saved_by(by, model)


def _demand_free(others: models.QuerySet[SavedFilter], name: str) -> None:
    if others.filter(name=name).exists():
        raise Refused(f"Nothing was saved: you have a filter called “{name}” already.")


def _demand(count: int) -> None:
    if not count:
        raise Refused("That saved filter is not there, or no longer.")
