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
    """Return a link to the row's page, or an empty text for None."""
    if row is None:
        return SafeString("")
    return format_html('<a href="{}">{}</a>', page_of(row), text or str(row))


def link_by_name(row: Named | None) -> SafeString:
    """Return a link with the row's display name and ID, or an empty text for None."""
    return link(row, called(row)) if row else SafeString("")


def page_of(row: Model) -> str:
    return reverse(_url(type(row), "change"), args=[quote(row.pk)])


def page_of_customer(customer: str) -> str:
    """
    Return the address of a customer's page, for any customer ID.

    The ID is quoted as the admin quotes keys, because it can contain slashes and line
    breaks. Browsers read an ID that consists of dots as a relative path, so a colon is
    put before such an ID. No quoted ID begins with a colon.
    """
    is_dots = not customer.strip(".")
    return reverse("customer", args=[f":{customer}" if is_dots else quote(customer)])


def customer_named(address: str) -> str:
    """Return the customer ID from an address that `page_of_customer` returned."""
    return unquote(address.removeprefix(":"))


def list_of(model: type[Model], **narrowed: Any) -> str:
    """Return the address of the model's list with these filters."""
    query = f"?{urlencode(narrowed)}" if narrowed else ""
    return f"{reverse(_url(model, 'changelist'))}{query}"


def _url(model: type[Model], view: str) -> str:
    return f"admin:{model._meta.app_label}_{model._meta.model_name}_{view}"
