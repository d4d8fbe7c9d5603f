"""Where a campaign's e-mails go: files below a directory, or an SMTP server."""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from promoportal.sandbox.optimove.campaign_emails import Letter, letters
from promoportal.sandbox.optimove.execution_record import Execution

_SMTP_TIMEOUT = 10.0


@dataclass(frozen=True, kw_only=True)
class Mailing:
    """What becomes of mails; with neither place, they are only counted."""

    directory: Path | None = None
    smtp: tuple[str, int] | None = None
    keep: int = 1_000  # of one occurrence; the others are counted


async def send(execution: Execution, mailing: Mailing) -> None:
    """Send the campaign's e-mail to exactly those who go on."""
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
    """How many of those who go on have an address; a million are not written for that."""
    population = execution.audience.population
    if "email" not in population.attributes:
        return 0
    addresses = population.column("email")
    return sum(bool(addresses[position]) for position in execution.audience.going)


def _some(execution: Execution, mailing: Mailing) -> Iterator[Letter]:
    """The first of them; a mail is rendered when its turn comes."""
    return islice(letters(execution), mailing.keep)


def _keep(execution: Execution, mailing: Mailing, folder: Path) -> int:
    kept = 0
    for letter in _some(execution, mailing):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{_as_name(letter.customer)}.eml").write_bytes(letter.content)
        kept += 1
    return kept


def _post(execution: Execution, mailing: Mailing, smtp: tuple[str, int]) -> int:
    sent = 0
    with smtplib.SMTP(*smtp, timeout=_SMTP_TIMEOUT) as server:
        for letter in _some(execution, mailing):
            server.sendmail(_sender(execution), [letter.to], letter.content)
            sent += 1
    return sent


def _sender(execution: Execution) -> str:
    email = execution.campaign.email
    return email.sender if email else ""


def _as_name(customer: str) -> str:
    """A customer's id as the name of a file, whatever characters it has."""
    return "".join(one if one.isalnum() or one in "-_." else "_" for one in customer)
