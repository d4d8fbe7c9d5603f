"""Delivery of a campaign's e-mails: to files in a directory, or to an SMTP server."""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from promoportal.sandbox.optimove.campaign_emails import RenderedEmail, rendered_emails
from promoportal.sandbox.optimove.execution_record import Execution

_SMTP_TIMEOUT = 10.0


@dataclass(frozen=True, kw_only=True)
class Mailing:
    """The place where e-mails go; without one they are only counted."""

    directory: Path | None = None
    smtp: tuple[str, int] | None = None
    keep: int = 1_000  # of one occurrence; further ones are only counted


async def send(execution: Execution, mailing: Mailing) -> None:
    """Send the campaign's e-mail to exactly the customers who remain."""
    mailed = execution.mailed
    mailed.sent = _addressed(execution)
    if mailing.smtp:
        mailed.where = f"smtp://{mailing.smtp[0]}:{mailing.smtp[1]}"
        mailed.kept = await asyncio.to_thread(_post, execution, mailing, mailing.smtp)
    elif mailing.directory:
        folder = mailing.directory / execution.occurrence.id
        mailed.where = str(folder)
        mailed.kept = await asyncio.to_thread(_keep, execution, mailing, folder)


def _addressed(execution: Execution) -> int:
    """Return how many remaining customers have an address; render no e-mail for it."""
    population = execution.audience.population
    if "email" not in population.attributes:
        return 0
    addresses = population.column("email")
    return sum(bool(addresses[position]) for position in execution.audience.going)


def _some(execution: Execution, mailing: Mailing) -> Iterator[RenderedEmail]:
    """Yield the first e-mails, each rendered when its turn comes."""
    return islice(rendered_emails(execution), mailing.keep)


def _keep(execution: Execution, mailing: Mailing, folder: Path) -> int:
    kept = 0
    for email in _some(execution, mailing):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{_as_name(email.customer)}.eml").write_bytes(email.content)
        kept += 1
    return kept


def _post(execution: Execution, mailing: Mailing, smtp: tuple[str, int]) -> int:
    sent = 0
    with smtplib.SMTP(*smtp, timeout=_SMTP_TIMEOUT) as server:
        for email in _some(execution, mailing):
            server.sendmail(_sender(execution), [email.to], email.content)
            sent += 1
    return sent


def _sender(execution: Execution) -> str:
    email = execution.campaign.email
    return email.sender if email else ""


def _as_name(customer: str) -> str:
    """Return a customer's ID as a file name, with _ for other characters."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in customer)
