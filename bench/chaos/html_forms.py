"""The forms of an HTML page, and what a browser sends when a button is pressed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser

Pairs = list[tuple[str, str]]
_BUTTONS = {"submit", "button", "image", "reset"}


@dataclass
class Form:
    """One form: its address, its fields with their values, and its buttons."""

    action: str
    method: str
    name: str = ""  # the ID or the class, to tell the forms of a page apart
    fields: Pairs = field(default_factory=list)
    boxes: Pairs = field(default_factory=list)  # checkboxes that are not checked
    selects: set[str] = field(default_factory=set)
    buttons: Pairs = field(default_factory=list)

    def offers(self, name: str, value: str) -> bool:
        return (name, value) in self.buttons

    def sent(
        self,
        button: tuple[str, str] | None = None,
        checked: Iterable[tuple[str, str]] = (),
        filled: Mapping[str, str] | None = None,
    ) -> Pairs:
        """Return the fields to send: as on the page, except those that are filled."""
        left = dict(filled or {})
        fields = [(name, left.pop(name, value)) for name, value in self.fields]
        return [*fields, *left.items(), *checked, *([button] if button else [])]


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self._open: Form | None = None
        self._select = ""
        self._area: tuple[str, list[str]] | None = None

    def handle_starttag(
        self, tag: str, attributes: list[tuple[str, str | None]]
    ) -> None:
        found = {name: value or "" for name, value in attributes}
        if tag == "form":
            name = found.get("id") or found.get("class", "")
            method = found.get("method", "get").lower()
            self._open = Form(found.get("action", ""), method, name)
            self.forms.append(self._open)
        elif self._open and (handle := _TAGS.get(tag)):
            handle(self, self._open, found)

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = None
        elif tag == "select":
            self._select = ""
        elif tag == "textarea" and self._area and self._open:
            self._open.fields.append((self._area[0], "".join(self._area[1])))
            self._area = None

    def handle_data(self, data: str) -> None:
        if self._area:
            self._area[1].append(data)

    def input(self, form: Form, found: dict[str, str]) -> None:
        name, kind = found.get("name", ""), found.get("type", "text")
        is_box = kind in {"checkbox", "radio"}
        value = found.get("value", "on" if is_box else "")
        if not name or "disabled" in found:
            return
        if kind in _BUTTONS:
            form.buttons.append((name, value))
        elif is_box and "checked" not in found:
            form.boxes.append((name, value))
        else:
            form.fields.append((name, value))

    def button(self, form: Form, found: dict[str, str]) -> None:
        if found.get("name"):
            form.buttons.append((found["name"], found.get("value", "")))

    def select(self, form: Form, found: dict[str, str]) -> None:
        self._select = found.get("name", "")

    def option(self, form: Form, found: dict[str, str]) -> None:
        # A browser sends the first option, unless another one is selected.
        name, value = self._select, found.get("value", "")
        if name and name not in form.selects:
            form.selects.add(name)
            form.fields.append((name, value))
        elif name and "selected" in found:
            kept = [pair for pair in form.fields if pair[0] != name]
            form.fields = [*kept, (name, value)]

    def textarea(self, form: Form, found: dict[str, str]) -> None:
        self._area = (found.get("name", ""), [])


_TAGS: dict[str, Callable[[_Parser, Form, dict[str, str]], None]] = {
    name: getattr(_Parser, name)
    for name in ("input", "button", "select", "option", "textarea")
}


def forms_of(page: str) -> list[Form]:
    """Return the forms of a page, in their order."""
    parser = _Parser()
    parser.feed(page)
    return parser.forms
