"""A campaign's e-mail, written to each customer it goes out to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from promoportal.sandbox.optimove.execution_record import Execution
from promoportal.sandbox.scenarios.email_context import letter


class Letter(NamedTuple):
    """An e-mail as it leaves, to whom, and of which customer."""

    customer: str
    to: str
    content: bytes


def letters(execution: Execution) -> Iterator[Letter]:
    """Write them one by one, each when it is asked for; no address, no e-mail."""
    population = execution.audience.population
    for position in execution.audience.going:
        mail = letter(
            execution.campaign,
            population,
            position,
            list(execution.occurrence.rows.outcomes(position)),
            execution.values(position),
        )
        if mail is not None:
            customer = str(population.ids[position])
            yield Letter(customer, mail.to, mail.as_bytes())
