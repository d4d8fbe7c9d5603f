"""E-mails as a mail client reads them, and the content that they must not contain."""

from __future__ import annotations

import email.policy
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage

import pytest

from promoportal.sandbox import mails

AT = datetime(2026, 1, 15, 9, 30, tzinfo=UTC)
NAMES: mails.Names = {
    "customer": {"email": None, "city": None},
    "rewards": None,
    "code": None,
}


@dataclass(frozen=True, kw_only=True)
class Templates(mails.Email):
    """A campaign's e-mail."""

    sender: str = "The house <hello@example.com>"
    subject: str = "For you in {{ customer.city }}"
    text: str = "Dear {{ customer.email }},\nyour code is {{ code }}.\n"
    html: str | None = "<p>{{ customer.city }}</p>"


def rendered(city: str = "Valletta", **fields: object) -> EmailMessage:
    """Render an e-mail to a customer in that city; parse it as a mail client does."""
    context = {"customer": {"email": "c1@example.com", "city": city}, "code": "A1"}
    mail = mails.render(Templates(**fields), context)  # type: ignore[arg-type]
    read = email.message_from_bytes(mail.as_bytes(at=AT), policy=email.policy.default)
    assert isinstance(read, EmailMessage)
    assert not read.defects
    return read


def body(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    assert part is not None
    return str(part.get_content())


def test_a_mail_client_reads_both_parts_and_every_header() -> None:
    message = rendered()

    assert message["From"] == "The house <hello@example.com>"
    assert message["To"] == "c1@example.com"
    assert message["Subject"] == "For you in Valletta"
    assert message["Date"].datetime == AT
    assert message["Message-ID"].endswith("@example.com>")
    assert message.get_content_type() == "multipart/alternative"
    assert body(message, "plain").splitlines()[-1] == "your code is A1."
    assert body(message, "html").strip() == "<p>Valletta</p>"


def test_an_e_mail_without_markup_is_plain_text() -> None:
    assert rendered(html=None).get_content_type() == "text/plain"


@pytest.mark.parametrize("city", ["Żebbuġ", "東京", "a" * 2_000, "= equals ="])
def test_every_character_arrives_unchanged(city: str) -> None:
    message = rendered(city)

    assert message["Subject"] == f"For you in {city}"
    assert body(message, "html").strip() == f"<p>{city}</p>"


def test_a_value_never_becomes_markup() -> None:
    assert "<b>" not in body(rendered("<b>bold</b>"), "html")
    assert "<b>" in body(rendered("<b>bold</b>", text="{{ customer.city }}"), "plain")


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r", "\u2028"])
def test_no_value_can_add_a_header(ending: str) -> None:
    message = rendered(f"X{ending}Bcc: other@example.com")

    assert message["Bcc"] is None
    assert message["Subject"] == "For you in X Bcc: other@example.com"


@pytest.mark.parametrize(
    "address", ["", "nobody", "a@b\nBcc: c@d", "@example.com", "ä@example.com"]
)
def test_an_invalid_address_is_refused(address: str) -> None:
    assert not mails.is_address(address)
    with pytest.raises(ValueError, match="address"):
        mails.render(Templates(), {"customer": {"email": address}}).as_bytes()


def test_the_same_mail_is_the_same_file() -> None:
    context = {"customer": {"email": "c1@example.com", "city": "Valletta"}}
    mail = mails.render(Templates(), context)

    assert mail.as_bytes(at=AT) == mail.as_bytes(at=AT)
    other = mails.render(Templates(subject="Other"), context)
    assert mail.as_bytes(at=AT) != other.as_bytes(at=AT)


# --- Templates ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        "{{ customer.city|upper }} {{ code|default:customer.city }}",
        "{% if customer.city %}{{ code }}{% endif %}",
        "{% for each in rewards %}{{ each.reward.value }} {{ forloop.counter }}{% endfor %}",
        "{% with town=customer.city %}{{ town }}{% endwith %}",
    ],
)
def test_a_correct_template_has_no_mistakes(source: str) -> None:
    assert mails.mistakes(source, NAMES) == []


@pytest.mark.parametrize(
    ("source", "line", "sentence"),
    [
        ("\n{{ customer.ciyt }}", 2, "did you mean customer.city?"),
        (
            "{{ nothing }}",
            1,
            "nothing is not known; known: customer, rewards, code.",
        ),
        ("{{ code|shout }}", 1, "Invalid filter: 'shout'"),
        ("a\nb\n{% if customer.where %}x{% endif %}", 3, "customer.where is not known"),
        ("{% for a in customer.list %}{% endfor %}", 1, "customer.list is not known"),
        ("{% if code %}", 1, "Unclosed tag"),
        ("{% load static %}", 1, "Invalid block tag: 'load'"),
        ("{% include 'a.html' %}", 1, "Invalid block tag: 'include'"),
        ("{% extends 'a.html' %}", 1, "Invalid block tag: 'extends'"),
        ("{% debug %}", 1, "Invalid block tag: 'debug'"),
        ("{% url 'admin:index' %}", 1, "Invalid block tag: 'url'"),
    ],
)
def test_a_mistake_in_a_template_has_its_line(
    source: str, line: int, sentence: str
) -> None:
    [wrong] = mails.mistakes(source, NAMES)

    assert wrong.line == line
    assert sentence in wrong.sentence
