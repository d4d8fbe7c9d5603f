"""A user's saved filters above a list, to open, save, rename and remove."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse

from promoportal.admin import saved_filters
from promoportal.admin.posted_form import PostedForm
from promoportal.admin.querysets import key_in
from promoportal.admin.saved_filters import MAX_NAME_LENGTH, Refused

_NAMELESS = "Nothing was saved: give the filter a name of at most {} characters."


class NameForm(forms.Form):
    name = forms.CharField(max_length=MAX_NAME_LENGTH)


def shown(changes: Any, request: HttpRequest) -> dict[str, Any]:
    """Return the template context: the user's saved filters, and the one in use."""
    if not changes.filter_specs:
        return {}
    narrowed = narrowed_to(changes)
    own = list(saved_filters.saved_by(request.user, changes.model).order_by("name"))
    return {
        "saved": own,
        "opened": next((one for one in own if one.narrowed == narrowed), None),
        "may_save": bool(narrowed) and not changes.problems,
        "longest_name": MAX_NAME_LENGTH,
    }


def answer(form: PostedForm) -> HttpResponse:
    """Save, rename or remove a filter, and show the list again."""
    act = _ACTS.get(form.data.get("saved", ""))
    if act is None:
        return form.go_back("Nothing was done: a filter is saved, renamed or removed.")
    try:
        return form.go_back(act(form.change_list(), form), messages.SUCCESS)
    except Refused as refused:
        return form.go_back(str(refused))


def narrowed_to(changes: Any) -> dict[str, str]:
    """Return the parameters of the list's address that belong to filters."""
    names = [
        name for spec in changes.filter_specs for name in spec.expected_parameters()
    ]
    return {name: changes.params[name] for name in names if changes.params.get(name)}


def _save(changes: Any, form: PostedForm) -> str:
    if changes.problems:
        raise Refused("Nothing was saved: what is not understood would find nothing.")
    name, narrowed = _name(form), narrowed_to(changes)
    saved_filters.save(changes.model, narrowed, name=name, by=form.request.user)
    return f"Saved as “{name}”. Only you see it."


def _rename(changes: Any, form: PostedForm) -> str:
    name = _name(form)
    key = key_in(form.data.get("filter", "")) or 0
    saved_filters.rename(changes.model, key, name=name, by=form.request.user)
    return f"It is called “{name}” now."


def _remove(changes: Any, form: PostedForm) -> str:
    key = key_in(form.data.get("filter", "")) or 0
    saved_filters.remove(changes.model, key, by=form.request.user)
    return "The saved filter is removed. What it led to is as it was."


_ACTS: dict[str, Callable[[Any, PostedForm], str]] = {
    "save": _save,
    "rename": _rename,
    "remove": _remove,
}


def _name(form: PostedForm) -> str:
    name = NameForm(form.data)
    if not name.is_valid():
        raise Refused(_NAMELESS.format(MAX_NAME_LENGTH))
    return str(name.cleaned_data["name"])
