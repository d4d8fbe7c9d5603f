"""A test client with a logged-in user of the admin."""

from __future__ import annotations

import html
import re
from html import unescape
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Model
from django.test import Client

from promoportal.admin.links import list_of, page_of
from promoportal.admin.querysets import without_bodies
from promoportal.db import row_versions

WHY = "The platform was down."


class StaffClient:
    def __init__(self, user: User) -> None:
        self.user = user
        self.client = Client()
        self.client.force_login(user)

    def get(self, address: str) -> Any:
        return self.client.get(address)

    def text(self, address: str) -> str:
        """Return the text of a page, as staff read it."""
        response = self.get(address)
        assert response.status_code == 200, response
        return html.unescape(response.content.decode())

    def list(self, model: type[Model], **filters: Any) -> list[Any]:
        """Return the rows that a list shows."""
        response = self.get(list_of(model, **filters))
        assert response.status_code == 200, response
        return list(response.context["cl"].result_list)

    def page(self, row: Model) -> str:
        return self.text(page_of(row))

    def offered(self, row: Model) -> set[str]:
        """Return the actions that the page of a row offers."""
        return {action.name for action in self.get(page_of(row)).context["actions"]}

    def offered_in_list(self, model: type[Model]) -> set[str]:
        form = self.get(list_of(model)).context["action_form"]
        return {name for name, _ in form.fields["action"].choices if name}

    def post(self, action: str, *rows: Model, why: str = WHY, **more: Any) -> Any:
        """
        Post an action for rows of one list, and return the response.

        The form says that the user saw the rows as they are now, unless `seen` says
        otherwise.
        """
        form = {
            "action": action,
            "why": why,
            "_selected_action": [row.pk for row in rows],
            **more,
        }
        if "seen" not in form:
            form["seen"] = seen_now(*rows)
        return self.client.post(more.pop("at", list_of(type(rows[0]))), form)

    def do(self, action: str, *rows: Model, why: str = WHY, **more: Any) -> str:
        """Perform an action with its confirmation, and return the messages."""
        if more.get("select_across") == "1":
            asked = self.post(action, *rows, why=why, **more)
            if asked.status_code == 302:  # nothing was chosen
                return self.said(asked["Location"])
            fixed = {name: asked.context[name] for name in ("keys", "seen")}
            more |= {"select_across": "", "_selected_action": [], **fixed}
        response = self.post(action, *rows, why=why, confirmed="yes", **more)
        assert response.status_code == 302, response
        return self.said(response["Location"])

    def said(self, address: str) -> str:
        """Return the messages on the page after an action."""
        return " ".join(
            str(message) for message in self.get(address).context["messages"]
        )


def seen_now(*rows: Model) -> str:
    """Return what the form of a list posts about these rows, as they are now."""
    keys = [row.pk for row in rows]
    stored = without_bodies(type(rows[0])._base_manager.filter(pk__in=keys))
    return row_versions.encode(row_versions.versions(list(stored)))


def preview_form(staff: StaffClient, address: str) -> dict[str, str]:
    """Open the preview of a bulk retry, and return what its form posts."""
    return preview_fields(staff.client.post(address, {"retry_all": "ask"}))


def preview_fields(shown: Any) -> dict[str, str]:
    """Return what the form of an opened preview posts, without the reason."""
    fields = dict(_HIDDEN.findall(shown.content.decode()))
    del fields["csrfmiddlewaretoken"]
    return {"retry_all": "yes"} | {name: unescape(fields[name]) for name in fields}


_HIDDEN = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)"')
