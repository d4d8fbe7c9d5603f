"""
Configuration that must not start: each mistake with an id, a sentence, and what to do.

E001  the contract does not say everything it must, or says what nobody knows
E002  a far side's address is on this machine, outside DEBUG
E003  django-q2 would kill jobs at work, or run them again while they run
E004  the queue is not in the rows' own database
E005  a setting of the flow cannot be read
E006  an address or a secret is missing
E007  the database cannot be used
E008  DEBUG with a public address
E009  a secret that anyone could guess, or that no request can carry
E010  an address at which nobody answers, or over which secrets would go unencrypted
E011  processes are told to die, as only tests tell them
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags
from django.core.checks import register as django_register
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, connections
from django.http.request import validate_host

from promoportal import optimove, platforms
from promoportal.db import database_errors
from promoportal.runtime import crash_points
from promoportal.runtime.loopback import is_local, leads_here
from rewards import approvals, limits

_ADDRESSES = ("OPTIMOVE_API_URL", "OPTIMOVE_PROMOTIONS_URL", "PLATFORM_URL")
_NEEDED = (
    *_ADDRESSES,
    "OPTIMOVE_API_KEY",
    "PLATFORM_TOKEN",
    "SECRET_KEY",
    "ALLOWED_HOSTS",
    "PORTAL_URL",
)
_OLDEST = 150_000
# Seconds: a turn, and two calls that time out.
_LEAST_TIMEOUT = 40
_LEAST_KEY = 50
# Seconds to spare between a job's last possible end and its being handed out again.
_MARGIN = 10


def register() -> None:
    """Make Django ask before any command that needs a right configuration."""
    for check in (
        *(_contract, _sandbox, _retry, _timeout, _broker, _flow, _missing, _desk),
        *(_secrets, _own_address, _in_clear, _crashing),
    ):
        django_register(check)
    django_register(_database, Tags.database)


def _contract(**_: Any) -> list[CheckMessage]:
    try:
        optimove.current()
    except optimove.ContractError as error:
        return [Error(str(error), hint=_CONTRACT_HINT, id="promoportal.E001")]
    return []


_CONTRACT_HINT = (
    "Correct the file that OPTIMOVE_CONTRACT names; docs/vendor.md tells how."
)


def _sandbox(**_: Any) -> list[CheckMessage]:
    if settings.DEBUG:
        return []
    return [
        Error(
            f"{name} is {address}, which is on this machine.",
            hint="Set it to the real address; the sandbox is for DEBUG=true only.",
            id="promoportal.E002",
        )
        for name, address in _far_sides()
        if is_local(address)
    ]


def _far_sides() -> Iterator[tuple[str, str]]:
    """The addresses that we call, each with the name of where it is set."""
    for name in _ADDRESSES:
        yield name, getattr(settings, name)
    try:
        contract = optimove.current()
    except optimove.ContractError:
        return  # E001 says so
    yield "assignments.host of the contract", contract.assignments.host
    yield "redemptions.host of the contract", contract.redemptions.host


def _retry(**_: Any) -> list[CheckMessage]:
    queue: dict[str, Any] = settings.Q_CLUSTER
    clusters = [{**queue, **own} for own in ({}, *queue["ALT_CLUSTERS"].values())]
    least = max(_least_retry(cluster) for cluster in clusters)
    retry = min(cluster["retry"] for cluster in clusters)
    if retry > least:
        return []
    return [
        Error(
            f"JOB_RETRY_SECONDS is {retry}; jobs would be handed out again that are "
            "still running.",
            hint=f"Set it to more than {least}, or JOB_TIMEOUT_SECONDS to less.",
            id="promoportal.E003",
        )
    ]


def _timeout(**_: Any) -> list[CheckMessage]:
    timeout: int = settings.JOB_TIMEOUT_SECONDS
    if timeout >= _LEAST_TIMEOUT:
        return []
    return [
        Error(
            f"JOB_TIMEOUT_SECONDS is {timeout}; jobs would be killed that are at work.",
            hint=f"Set it to {_LEAST_TIMEOUT} or more: a job takes 8 seconds, and then "
            "waits for the answers to its last calls.",
            id="promoportal.E003",
        )
    ]


def _least_retry(cluster: dict[str, Any]) -> int:
    """The clock of `retry` starts at the claim: waiting in the local queue counts."""
    ahead = math.ceil((cluster["queue_limit"] + cluster["bulk"]) / cluster["workers"])
    return int(cluster["timeout"] * (1 + ahead) + _MARGIN)


def _broker(**_: Any) -> list[CheckMessage]:
    if settings.Q_CLUSTER.get("orm") == "default" and "pool" not in _options():
        return []
    return [
        Error(
            "The queue must be in the default database, without a connection pool.",
            hint='Leave Q_CLUSTER["orm"] at "default" and OPTIONS without "pool".',
            id="promoportal.E004",
        )
    ]


def _options() -> dict[str, Any]:
    database: dict[str, Any] = settings.DATABASES["default"]
    options: dict[str, Any] = database.get("OPTIONS", {})
    return options


def _flow(**_: Any) -> Iterable[CheckMessage]:
    reads: list[Callable[[], Any]] = [
        *(platforms.from_settings, limits.current, approvals.alone_up_to)
    ]
    for read in reads:
        try:
            read()
        except ImproperlyConfigured as error:
            yield Error(str(error), id="promoportal.E005")


def _missing(**_: Any) -> list[CheckMessage]:
    return [
        Error(
            f"{name} is not set.",
            hint=f"Set {name}; .env.example says what it is.",
            id="promoportal.E006",
        )
        for name in _NEEDED
        if not getattr(settings, name)
    ]


def _database(databases: Iterable[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Asked where a database is named: by `migrate`, and by `check --database`."""
    return [error for alias in databases or () for error in _unusable(alias)]


def _unusable(alias: str) -> Iterable[CheckMessage]:
    hint = "Set DATABASE_URL to a PostgreSQL, 15 or newer, that is running."
    try:
        with connections[alias].cursor() as cursor:
            cursor.execute("SHOW server_version_num")
            version = int(cursor.fetchone()[0])
    except OperationalError as error:
        yield Error(
            database_errors.database_error_message(error),
            hint=hint,
            id="promoportal.E007",
        )
    else:
        if version < _OLDEST:
            problem = f"The database is PostgreSQL {version // 10000}."
            yield Error(problem, hint=hint, id="promoportal.E007")


def _desk(**_: Any) -> list[CheckMessage]:
    # "*" names no host; `manage.py run` answers on this machine only while DEBUG is on.
    named = [host for host in settings.ALLOWED_HOSTS if host != "*"]
    public = [host for host in named if not leads_here(host)]
    if not settings.DEBUG or (not public and is_local(settings.PORTAL_URL)):
        return []
    return [
        Error(
            "DEBUG is on, and ALLOWED_HOSTS or PORTAL_URL is a public address.",
            hint="Set DEBUG=false, or keep both on this machine.",
            id="promoportal.E008",
        )
    ]


def _secrets(**_: Any) -> Iterable[CheckMessage]:
    if not settings.DEBUG and len(settings.SECRET_KEY) < _LEAST_KEY:
        yield Error(
            f"SECRET_KEY has fewer than {_LEAST_KEY} characters: it can be guessed.",
            hint="Set it to random characters, and keep it.",
            id="promoportal.E009",
        )
    for name in ("OPTIMOVE_API_KEY", "PLATFORM_TOKEN"):
        if not re.fullmatch("[!-~]*", getattr(settings, name)):
            yield Error(
                f"{name} holds a space, a line break or a letter that no header may.",
                hint=f"Set {name} to what its side gave you, alone.",
                id="promoportal.E009",
            )


def _own_address(**_: Any) -> list[CheckMessage]:
    host = urlsplit(settings.PORTAL_URL).hostname or ""
    allowed = settings.ALLOWED_HOSTS
    if not host or not allowed or validate_host(host, allowed):
        return []  # or what is missing is told already
    return [
        Error(
            f"PORTAL_URL is at {host}, which ALLOWED_HOSTS does not name: every notice "
            "that Optimove sends there would be refused.",
            hint=f"Add {host} to ALLOWED_HOSTS.",
            id="promoportal.E010",
        )
    ]


def _in_clear(**_: Any) -> list[CheckMessage]:
    """A platform may be beside the portal, in a network of the operator's own."""
    if settings.DEBUG:
        return []
    addresses = [*_far_sides(), ("PORTAL_URL", settings.PORTAL_URL)]
    return [
        Error(
            f"{name} is {address}: the key or the secret in it would go unencrypted.",
            hint="Begin it with https://.",
            id="promoportal.E010",
        )
        for name, address in addresses
        if name != "PLATFORM_URL" and address.startswith("http:")
    ]


def _crashing(**_: Any) -> list[CheckMessage]:
    if settings.DEBUG or crash_points.chosen() is None:
        return []
    return [
        Error(
            f"{crash_points.VARIABLE} is set: processes would kill themselves at work.",
            hint="Take it out of the environment; only tests set it.",
            id="promoportal.E011",
        )
    ]
