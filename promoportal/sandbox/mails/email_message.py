"""One email to one customer, and its form as a file for mail clients."""

from __future__ import annotations

from binascii import b2a_qp
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.header import Header
from email.utils import format_datetime, formataddr, parseaddr
from functools import lru_cache
from hashlib import blake2b

from promoportal.sandbox.mails.template_engine import filled


@dataclass(frozen=True, slots=True, kw_only=True)
class Email:
    """The sender of a campaign's email, and templates of its subject and body."""

    sender: str
    subject: str
    text: str
    html: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """One rendered email to one customer."""

    sender: str
    to: str
    subject: str
    text: str
    html: str | None = None

    def as_bytes(self, *, at: datetime | None = None) -> bytes:
        """
        Return the email as a file for mail clients (RFC 5322), dated `at` or now.

        An email with the same content and the same time always has the same Message-ID.
        """
        sent = (at or datetime.now(UTC)).replace(microsecond=0)
        parts = (self.sender, self.to, self.subject, self.text, self.html, str(sent))
        digest = blake2b(repr(parts).encode(), digest_size=12).hexdigest()
        sender, host = _mailbox(self.sender)
        head = (
            f"From: {sender}\r\n"
            f"To: {_mailbox(self.to)[0]}\r\n"
            f"Subject: {_subject_header(self.subject)}\r\n"
            f"Date: {format_datetime(sent)}\r\n"
            f"Message-ID: <{digest}@{host}>\r\n"
            "MIME-Version: 1.0\r\n"
        )
        return head.encode("ascii") + self._body(f"=={digest}==")

    def _body(self, boundary: str) -> bytes:
        if self.html is None:
            return _part("plain", self.text)
        # Not with `email.message`, which takes about twenty times as long: a campaign
        # can have a million emails.
        kind = f'Content-Type: multipart/alternative; boundary="{boundary}"\r\n'
        begin = f"\r\n--{boundary}\r\n".encode()
        parts = begin + _part("plain", self.text) + begin + _part("html", self.html)
        return kind.encode() + parts + f"\r\n--{boundary}--\r\n".encode()


def _part(kind: str, text: str) -> bytes:
    # If every line ends with CRLF, `b2a_qp` also uses CRLF where it breaks long lines.
    lines = "".join(f"{line}\r\n" for line in text.splitlines())
    head = (
        f'Content-Type: text/{kind}; charset="utf-8"\r\n'
        "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
    )
    return head.encode() + b2a_qp(lines.encode())


@lru_cache(maxsize=1_024)
def _mailbox(written: str) -> tuple[str, str]:
    """Return a mailbox in ASCII, `Name <name@host>` or `name@host`, and its host."""
    name, address = parseaddr(written)
    local, at, host = address.rpartition("@")
    if not (local and at and host and address.isascii() and written.isprintable()):
        raise ValueError(f"Invalid email address: {written!r}.")
    return formataddr((name, address)), host


def _subject_header(subject: str) -> str:
    is_plain = subject.isascii() and subject.isprintable() and len(subject) < 900
    return subject if is_plain else Header(subject, "utf-8").encode(linesep="\r\n")


def render(email: Email, context: Mapping[str, object]) -> Mail:
    """Return the email to the customer in the context, who must have an address."""
    address = _address(context)
    if not address:
        raise ValueError("The customer has no email address.")
    html = email.html
    return Mail(
        sender=email.sender,
        to=address,
        # A subject must be one line, but values may contain line breaks.
        subject=" ".join(filled(email.subject, context, markup=False).split()),
        text=filled(email.text, context, markup=False),
        html=None if html is None else filled(html, context, markup=True),
    )


def is_address(text: str) -> bool:
    """Return whether a text is a valid address of a sender or a recipient."""
    try:
        _mailbox(text)
    except ValueError:
        return False
    return True


def _address(context: Mapping[str, object]) -> str:
    customer = context.get("customer")
    address = customer.get("email") if isinstance(customer, Mapping) else None
    return address.strip() if isinstance(address, str) else ""
