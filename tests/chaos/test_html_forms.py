"""Tests of the forms that the staff of the fault test send."""

from __future__ import annotations

from bench.chaos.html_forms import forms_of

PAGE = """
<form method="get"><input name="q" value="x"></form>
<form id="do" method="post" action="/there/?a=1&amp;b=2">
  <input type="hidden" name="token" value="a&amp;b">
  <input type="hidden" name="seen" value="HELD 12:00">
  <input type="text" name="why"><input name="off" value="1" disabled>
  <input type="checkbox" name="row" value="1"><input type="checkbox" name="row" value="2">
  <input type="checkbox" name="kept" checked>
  <select name="what"><option value="">...</option><option value="go">Go</option></select>
  <select name="how"><option value="a">A</option><option value="b" selected>B</option></select>
  <textarea name="note">two
lines</textarea>
  <button name="action" value="retry">Retry</button><button>No name</button>
</form>
"""


def test_a_form_sends_all_hidden_inputs_as_they_were_on_the_page() -> None:
    form = forms_of(PAGE)[1]

    assert (form.method, form.action, form.name) == ("post", "/there/?a=1&b=2", "do")
    assert form.offers("action", "retry")
    assert form.sent(("action", "retry"), [("row", "2")], {"why": "test"}) == [
        ("token", "a&b"),
        ("seen", "HELD 12:00"),
        ("why", "test"),
        ("kept", "on"),
        ("what", ""),
        ("how", "b"),
        ("note", "two\nlines"),
        ("row", "2"),
        ("action", "retry"),
    ]


def test_a_field_that_is_new_on_the_page_is_sent_too() -> None:
    page = PAGE.replace(
        "<textarea", '<input type="hidden" name="v" value="7"><textarea'
    )

    assert ("v", "7") in forms_of(page)[1].sent()
