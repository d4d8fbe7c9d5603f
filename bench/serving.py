"""Benchmark of a list from the sandbox, page by page. Floor: the pages as JSON."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from bench.bare import Connection
from bench.stage import Measured, SandboxProcess, Stage, seconds

_PAGE = 1_000
# All customers are in the target group. The promotion has three tiers and all limits.
_SCENARIO = """\
title = "All of them"
[customers]
count = 1
[[target_groups]]
id = 1
name = "Everyone"
[[promotions]]
id = "promo-1"
code = "ALL"
name = "Something for all"
sort_by = "lifetime_deposits"
sort = "high to low"
[promotions.budget]
category = "Amount"
currency = "EUR"
total = "100000000.00"
[promotions.cap]
recipients = 5000000
[[promotions.tiers]]
id = "gold"
name = "Gold"
when = { attribute = "vip_tier", one_of = ["Gold", "Platinum"] }
reward = { category = "Amount", type = "BonusCash", currency = "EUR", percent = 10, of = "last_deposit", minimum = "10.00", maximum = "50.00" }
[[promotions.tiers]]
id = "silver"
name = "Silver"
when = { attribute = "vip_tier", is = "Silver" }
reward = { category = "Amount", type = "BonusCash", currency = "EUR", value = "10.00" }
[[promotions.tiers]]
id = "any"
name = "Any"
reward = { category = "Amount", type = "BonusCash", currency = "EUR", value = "5.00" }
[[campaigns]]
plan = 1
name = "All of them"
kind = "scheduled"
target_group = 1
promotions = ["promo-1"]
channels = [505]
"""


def measure(_stage: Stage, size: int) -> Measured:
    pages: list[bytes] = []
    with closing(sandbox_with(size)) as sandbox:
        occurrence = str(
            sandbox.order("campaign", plan=1, announce=False)["occurrence"]
        )
        work = seconds(lambda: pages.extend(listed(sandbox.port, occurrence)))
    read = [json.loads(page) for page in pages]
    assert sum(len(page["assignments"]) for page in read) == size
    floor = seconds(lambda: [json.dumps(page) for page in read])
    return Measured("rows", size, work, floor, "the rows as JSON, from memory")


def sandbox_with(customers: int) -> SandboxProcess:
    """Return a sandbox that gives all customers a reward, with a huge rate limit."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "all.toml"
        file.write_text(_SCENARIO)
        chosen = ("--scenario", str(file), "--customers", str(customers))
        return SandboxProcess(*chosen, "--calls", "1000000000")


def listed(port: int, occurrence: str) -> Iterator[bytes]:
    """Yield every page as received; parse only the token of the next page."""
    question: dict[str, Any] = {"occurrenceId": int(occurrence), "pageSize": _PAGE}
    token: str | None = ""
    with Connection(port) as line:
        while token is not None:
            body = json.dumps(question | ({"pageToken": token} if token else {}))
            page = line.ask(
                "/promotions/v1/customerAssignments",
                body.encode(),
                X_API_KEY="desk-key",
            )
            yield page
            token = _next(page)


def _next(page: bytes) -> str | None:
    """Return the token from the end of the page. Parsing all of it would take time."""
    end = page[page.rindex(b'"nextPageToken"') :].decode()
    value = json.loads("{" + end)["nextPageToken"]
    return value if isinstance(value, str) else None
