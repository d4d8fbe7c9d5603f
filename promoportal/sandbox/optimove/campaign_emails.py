"""A campaign's e-mails, rendered for each customer who gets one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from promoportal.sandbox.optimove.execution_record import Execution
from promoportal.sandbox.scenarios.email_context import campaign_mail


class RenderedEmail(NamedTuple):
    """A rendered e-mail with its address and its customer."""

    customer: str
    to: str
    content: bytes


def rendered_emails(execution: Execution) -> Iterator[RenderedEmail]:
    """Yield the e-mails, each rendered when it is needed; none without an address."""
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
            customer = str(population.ids[position])
            yield RenderedEmail(customer, mail.to, mail.as_bytes())
