"""A browser in which someone is logged in to the admin."""

from __future__ import annotations

import html
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Model
from django.test import Client

from promoportal.admin.links import list_of, page_of

WHY = "The platform was down."


class Desk:
    def __init__(self, user: User) -> None:
        self.user = user
        self.client = Client()
        self.client.force_login(user)

    def get(self, address: str) -> Any:
        return self.client.get(address)

    def text(self, address: str) -> str:
        """What a page holds, as a person reads it."""
        answer = self.get(address)
        assert answer.status_code == 200, answer
        return html.unescape(answer.content.decode())

    def list(self, model: type[Model], **narrowed: Any) -> list[Any]:
        """The rows that a list shows."""
        answer = self.get(list_of(model, **narrowed))
        assert answer.status_code == 200, answer
        return list(answer.context["cl"].result_list)

    def page(self, row: Model) -> str:
        return self.text(page_of(row))

    def offered(self, row: Model) -> set[str]:
        """The actions that a row's page offers."""
        return {action.name for action in self.get(page_of(row)).context["actions"]}

    def offered_in_list(self, model: type[Model]) -> set[str]:
        form = self.get(list_of(model)).context["action_form"]
        return {name for name, _ in form.fields["action"].choices if name}

    def post(self, action: str, *rows: Model, why: str = WHY, **more: Any) -> Any:
        """Ask for an action about rows of one list; gives the answer as it comes."""
        said = {
            "action": action,
            "why": why,
            "_selected_action": [row.pk for row in rows],
            **more,
        }
        return self.client.post(more.pop("at", list_of(type(rows[0]))), said)

    def do(self, action: str, *rows: Model, why: str = WHY, **more: Any) -> str:
        """Do it, confirming where that is asked for; gives what was said of it."""
        answer = self.post(action, *rows, why=why, confirmed="yes", **more)
        assert answer.status_code == 302, answer
        return self.said(answer["Location"])

    def said(self, address: str) -> str:
        """What the page one comes back to says of what was done."""
        return " ".join(str(said) for said in self.get(address).context["messages"])
