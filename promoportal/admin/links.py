from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib.admin.utils import quote, unquote
from django.db.models import Model
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from promoportal.admin.formatting import called
from promoportal.db.display_names import Named


def link(row: Model | None, text: str = "") -> SafeString:
    """A link to the row's page, or nothing where there is no row."""
    if row is None:
        return SafeString("")
    return format_html('<a href="{}">{}</a>', page_of(row), text or str(row))


def link_by_name(row: Named | None) -> SafeString:
    """A link to it as it is called, or nothing where there is none."""
    return link(row, called(row)) if row else SafeString("")


def page_of(row: Model) -> str:
    return reverse(_url(type(row), "change"), args=[quote(row.pk)])


def page_of_customer(customer: str) -> str:
    """
    The address of whatever id: as the admin quotes keys, since strokes and line breaks
    are not for addresses. Browsers take dots alone for a way up, so that a colon stands
    before them, which nothing quoted begins with.
    """
    is_dots = not customer.strip(".")
    return reverse("customer", args=[f":{customer}" if is_dots else quote(customer)])


def customer_named(address: str) -> str:
    """The id in such an address."""
    return unquote(address.removeprefix(":"))


def list_of(model: type[Model], **narrowed: Any) -> str:
    """The address of a list, narrowed to rows like these."""
    query = f"?{urlencode(narrowed)}" if narrowed else ""
    return f"{reverse(_url(model, 'changelist'))}{query}"


def _url(model: type[Model], view: str) -> str:
    return f"admin:{model._meta.app_label}_{model._meta.model_name}_{view}"
