"""The delivery of a campaign's emails to a folder or to an SMTP server."""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from promoportal.sandbox.mails import Mail
from promoportal.sandbox.optimove.execution_record import Execution
from promoportal.sandbox.scenarios.email_context import campaign_mail

_SMTP_TIMEOUT = 10.0


@dataclass(frozen=True, kw_only=True)
class Mailing:
    """An SMTP server or a folder for emails. Without both, emails are only counted."""

    directory: Path | None = None
    smtp: tuple[str, int] | None = None
    # The maximum number of emails that one execution delivers. Others are only counted.
    keep: int = 1_000


async def send(execution: Execution, mailing: Mailing) -> None:
    """Count the emails to the remaining customers, and deliver the first `keep`."""
    mailed = execution.mailed
    mailed.sent = _addressed(execution)
    keep, smtp = mailing.keep, mailing.smtp
    if smtp:
        mailed.where = f"smtp://{smtp[0]}:{smtp[1]}"
        mailed.kept = await asyncio.to_thread(_post, execution, keep, smtp)
    elif mailing.directory:
        folder = mailing.directory / execution.occurrence.id
        mailed.where = str(folder)
        mailed.kept = await asyncio.to_thread(_keep, execution, keep, folder)


def _addressed(execution: Execution) -> int:
    """Return the number of remaining customers with an address, without rendering."""
    population = execution.audience.population
    if "email" not in population.attributes:
        return 0
    addresses = population.column("email")
    return sum(bool(addresses[position]) for position in execution.audience.going)


def _rendered(execution: Execution) -> Iterator[tuple[str, Mail]]:
    """Yield the ID and the email of each remaining customer who gets an email."""
    population = execution.audience.population
    for position in execution.audience.going:
        mail = campaign_mail(
            execution.campaign,
            population,
            position,
            list(execution.occurrence.rows.outcomes(position)),
            execution.values(position),
        )
        if mail is not None:
            yield str(population.ids[position]), mail


def _keep(execution: Execution, most: int, folder: Path) -> int:
    kept = 0
    for customer, mail in islice(_rendered(execution), most):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{_as_name(customer)}.eml").write_bytes(mail.as_bytes())
        kept += 1
    return kept


def _post(execution: Execution, most: int, smtp: tuple[str, int]) -> int:
    sent = 0
    with smtplib.SMTP(*smtp, timeout=_SMTP_TIMEOUT) as server:
        for _, mail in islice(_rendered(execution), most):
            server.sendmail(mail.sender, [mail.to], mail.as_bytes())
            sent += 1
    return sent


def _as_name(customer: str) -> str:
    """Return a customer's ID as a file name; `_` replaces unsafe characters."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in customer)
