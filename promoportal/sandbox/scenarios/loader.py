"""The loader of a scenario file, which reports all mistakes in the file at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from promoportal.sandbox.scenarios import campaign_reader, promotion_reader
from promoportal.sandbox.scenarios.condition_reader import Attributes, kinds_in
from promoportal.sandbox.scenarios.data_files import customers as from_file
from promoportal.sandbox.scenarios.generated_customers import generated
from promoportal.sandbox.scenarios.population import Customers
from promoportal.sandbox.scenarios.scenario import Event, Scenario
from promoportal.toml import document
from promoportal.toml.document import Fault, UnreadableFile
from promoportal.toml.problems import InvalidFile, Problems
from promoportal.toml.tables import Table

# The number of customers from which the kinds of the attributes are read.
_SAMPLE = 200
SHIPPED = Path(__file__).parent / "shipped"


def shipped() -> list[str]:
    """Return the names of the built-in scenarios."""
    return sorted(path.stem for path in SHIPPED.glob("*.toml"))


def load(
    path: Path | str, *, customers: int | None = None, seed: int | None = None
) -> Scenario:
    """
    Return the scenario in a file, or the built-in scenario with this name.

    :raises InvalidFile: if the file has mistakes; with one sentence for each mistake
    """
    found = _found(path)
    try:
        read = document.read(found)
    except UnreadableFile as error:
        raise InvalidFile([f"{found}:{error.line}: {_unreadable(error)}"]) from error
    table = Table(read.values, (), Problems(found, read.lines))
    return _scenario(table, customers, seed)


def _found(path: Path | str) -> Path:
    is_shipped = str(path) in shipped() and not Path(path).exists()
    return SHIPPED / f"{path}.toml" if is_shipped else Path(path)


def _unreadable(error: UnreadableFile) -> str:
    if error.fault is Fault.NOT_UTF8:
        return "The file is not valid UTF-8."
    if error.fault is Fault.NOT_TOML:
        # The line number is already at the beginning of the message.
        return f"The file is not valid TOML: {error.reason.partition(' (at ')[0]}."
    return (
        f"Cannot read the scenario file: {error.reason}. "
        f"Built-in scenarios: {', '.join(shipped())}."
    )


def _scenario(table: Table, customers: int | None, seed: int | None) -> Scenario:
    title = table.text("title")
    about = table.text("about", default="")
    written = table.whole("seed", least=0, most=2**63, default=1)
    chosen = written if seed is None else seed
    populate, attributes = _population(table, customers, chosen)
    event_tables = table.tables("events", at_least_one=False)
    group_tables = table.tables("target_groups")
    promotion_tables = table.tables("promotions")
    campaign_tables = table.tables("campaigns")
    events = [campaign_reader.event(each) for each in event_tables]
    groups = [campaign_reader.group(each, attributes) for each in group_tables]
    promotions = [
        promotion_reader.promotion(
            each, _with_events(each, attributes, table.values, events)
        )
        for each in promotion_tables
    ]
    campaigns = [
        campaign_reader.campaign(
            each,
            {group.id: group for group in groups},
            {promotion.id: promotion for promotion in promotions},
            attributes,
        )
        for each in campaign_tables
    ]
    for tables, key in (
        (group_tables, "id"),
        (promotion_tables, "id"),
        (promotion_tables, "code"),
        (campaign_tables, "plan"),
    ):
        promotion_reader.check_unique(tables, key)
    table.end()
    table.problems.refuse()
    return Scenario(
        path=table.problems.file,
        title=title,
        about=about.strip(),
        seed=chosen,
        population=populate(),
        groups=tuple(groups),
        promotions=tuple(promotions),
        campaigns=tuple(campaigns),
        events=tuple(events),
    )


def _population(
    table: Table, wanted: int | None, seed: int
) -> tuple[Callable[[], Customers], Attributes | None]:
    """
    Return a function that makes the customers; also return the attributes.

    It takes time to generate a million customers. So the attributes are read from 200
    customers, and the function is called only if the file has no mistakes.
    """
    below = table.table("customers")
    if below is None:
        return lambda: generated(0, seed), None
    if below.has("file"):
        return _from_file(below, wanted)
    count = below.whole("count")
    below.end()
    return lambda: generated(wanted or count, seed), _attributes(generated(_SAMPLE, 1))


def _from_file(
    table: Table, wanted: int | None
) -> tuple[Callable[[], Customers], Attributes | None]:
    if table.has("count"):
        table.wrong("count", 'cannot be combined with "file".')
    table.end()
    found = from_file(table, "file", wanted)
    if found is None:
        return lambda: generated(0, 0), None
    return lambda: found, _attributes(found)


def _attributes(customers: Customers) -> Attributes:
    return Attributes(
        {name: kinds_in(customers.column(name)) for name in customers.attributes}
    )


def _with_events(
    table: Table,
    attributes: Attributes | None,
    scenario: Mapping[str, Any],
    events: list[Event],
) -> Attributes | None:
    """Return the attributes, and the values of the events that trigger a promotion."""
    if attributes is None:
        return None
    names = set(_triggers(table.values.get("id"), scenario.get("campaigns")))
    kinds: dict[str, str | None] = {}
    for event in events:
        if event.name in names:
            kinds |= campaign_reader.kinds(event)
    # Only a command can trigger an event that is not in the file, with any values.
    is_open = not names <= {event.name for event in events}
    return attributes.with_event(kinds, open_event=is_open)


def _triggers(promotion: object, campaigns: object) -> list[str]:
    """Return the events that trigger campaigns with this promotion."""
    found = []
    for campaign in campaigns if isinstance(campaigns, list) else []:
        event = campaign.get("event") if isinstance(campaign, dict) else None
        offered = campaign.get("promotions") if event else None
        if (
            isinstance(event, str)
            and isinstance(offered, list)
            and promotion in offered
        ):
            found.append(event)
    return found
