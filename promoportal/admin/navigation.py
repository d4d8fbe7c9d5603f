"""The navigation, in the order of the daily work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

# Lists that staff use all day; all others are in the menu "More".
_FIRST = ("Execution", "Customer", "Assignment", "Redemption", "Delivery")
# The first lists of the menu "More", which staff use now and then.
_NEXT = ("Activation", "Campaign", "Promotion", "Retrial", "LogEntry")


@dataclass(frozen=True)
class Task:
    label: str
    href: str
    is_current: bool


@dataclass(frozen=True)
class Navigation:
    first: Sequence[Task]
    more: Sequence[Task]

    @property
    def is_more_open(self) -> bool:
        return any(task.is_current for task in self.more)


def of(request: HttpRequest, lists: Mapping[str, Mapping[str, Any]]) -> Navigation:
    """Return the links for the user; `lists` are the site's lists by model name."""
    known = {name: (str(one["name"]), one["admin_url"]) for name, one in lists.items()}
    if "Assignment" in known:
        known["Customer"] = ("Customers", reverse("customers"))
    first = [_task(request, *known.pop(name)) for name in _FIRST if name in known]
    index = reverse("admin:index")
    overview = Task("Overview", index, request.path == index)
    # Lists that are not in `_NEXT` follow in the order of the site.
    names = dict.fromkeys([*(name for name in _NEXT if name in known), *known])
    more = [known[name] for name in names]
    return Navigation(
        [overview, *first], [_task(request, *one) for one in more if one[1]]
    )


def _task(request: HttpRequest, label: str, href: str) -> Task:
    return Task(label, href, request.path.startswith(href))
