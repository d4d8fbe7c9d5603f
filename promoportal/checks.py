"""
System checks for a configuration with which the portal must not start.

E001  the contract file is incomplete, or has an unknown key or value
E002  DEBUG is off, but the address of Optimove or the platform is local
E003  django-q2 would kill running jobs, or start them twice
E004  the queue is not in the default database, or this database has a pool
E005  a setting of the platform, a limit or the second approval is invalid
E006  an address or a secret is not set
E007  the database cannot be reached, or is too old
E008  DEBUG is on, but an address is public
E009  a secret is short, or has a character that no HTTP header may contain
E010  PORTAL_URL is not in ALLOWED_HOSTS, or an address would not encrypt secrets
E011  PORTAL_CRASH_AT is set, which makes processes crash
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

from promoportal import optimove
from promoportal.db import database_errors
from promoportal.runtime import crash_points
from promoportal.runtime.loopback import is_local, leads_here
from rewards import approvals, limits
from rewards.activation import request_lifetime

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
# Seconds: one turn of a job, plus two calls that time out.
_LEAST_TIMEOUT = 40
_LEAST_KEY = 50
# Seconds between a job's last possible end and its next start.
_MARGIN = 10


def register() -> None:
    """Register the checks, which Django runs before most commands."""
    for check in (
        *(_contract, _sandbox, _retry, _timeout, _broker, _flow, _missing, _debug),
        *(_secrets, _portal_url, _unencrypted, _crashing),
    ):
        django_register(check)
    django_register(_database, Tags.database)


def _contract(**_: Any) -> Iterable[CheckMessage]:
    try:
        optimove.current()
    except optimove.ContractError as error:
        hint = "Correct the file set in OPTIMOVE_CONTRACT. See docs/vendor.md."
        yield Error(str(error), hint=hint, id="promoportal.E001")


def _sandbox(**_: Any) -> Iterable[CheckMessage]:
    for name, address in _called_addresses():
        if is_local(address) and not settings.DEBUG:
            yield Error(
                f"{name} is {address}, a local address, but DEBUG is false.",
                hint="Set it to the real address. The sandbox can only be used with "
                "DEBUG=true.",
                id="promoportal.E002",
            )


def _called_addresses() -> Iterator[tuple[str, str]]:
    """Yield the addresses that the portal calls, with the names of their settings."""
    for name in _ADDRESSES:
        yield name, getattr(settings, name)
    try:
        contract = optimove.current()
    except optimove.ContractError:
        return  # reported as E001
    yield "assignments.host in the contract file", contract.assignments.host
    yield "redemptions.host in the contract file", contract.redemptions.host


def _retry(**_: Any) -> Iterable[CheckMessage]:
    queue: dict[str, Any] = settings.Q_CLUSTER
    clusters = [{**queue, **own} for own in ({}, *queue["ALT_CLUSTERS"].values())]
    least = max(_least_retry(cluster) for cluster in clusters)
    retry = min(cluster["retry"] for cluster in clusters)
    if retry <= least:
        yield Error(
            f"JOB_RETRY_SECONDS is {retry} seconds, which is too short: running jobs "
            "would be started twice.",
            hint=f"Set JOB_RETRY_SECONDS to more than {least}, or reduce "
            "JOB_TIMEOUT_SECONDS.",
            id="promoportal.E003",
        )


def _timeout(**_: Any) -> Iterable[CheckMessage]:
    timeout: int = settings.JOB_TIMEOUT_SECONDS
    if timeout < _LEAST_TIMEOUT:
        yield Error(
            f"JOB_TIMEOUT_SECONDS is {timeout} seconds, which is too short: running "
            "jobs would be killed.",
            hint=f"Set it to {_LEAST_TIMEOUT} or more. A job runs for up to 8 seconds "
            "and then waits for its last responses.",
            id="promoportal.E003",
        )


def _least_retry(cluster: dict[str, Any]) -> int:
    """
    Return the seconds that `retry` must exceed.

    django-q2 counts `retry` from the claim, so the wait for a free worker counts too.
    """
    ahead = math.ceil((cluster["queue_limit"] + cluster["bulk"]) / cluster["workers"])
    return int(cluster["timeout"] * (1 + ahead) + _MARGIN)


def _broker(**_: Any) -> Iterable[CheckMessage]:
    options = settings.DATABASES["default"].get("OPTIONS", {})
    if settings.Q_CLUSTER.get("orm") != "default" or "pool" in options:
        yield Error(
            "The job queue must use the default database without a connection pool.",
            hint='Set Q_CLUSTER["orm"] to "default" and remove "pool" from OPTIONS.',
            id="promoportal.E004",
        )


def _flow(**_: Any) -> Iterable[CheckMessage]:
    read: Callable[[], Any]
    for read in (
        request_lifetime.check_platform,
        limits.current,
        approvals.alone_up_to,
    ):
        try:
            read()
        except ImproperlyConfigured as error:
            yield Error(str(error), id="promoportal.E005")


def _missing(**_: Any) -> Iterable[CheckMessage]:
    for name in _NEEDED:
        if not getattr(settings, name):
            hint = f"Set {name}. See .env.example for its meaning."
            yield Error(f"{name} is not set.", hint=hint, id="promoportal.E006")


def _database(databases: Iterable[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Check the databases that `migrate` or `check --database` passes."""
    return [error for alias in databases or () for error in _unusable(alias)]


def _unusable(alias: str) -> Iterable[CheckMessage]:
    hint = "Set DATABASE_URL to a running PostgreSQL server, version 15 or newer."
    try:
        with connections[alias].cursor() as cursor:
            cursor.execute("SHOW server_version_num")
            version = int(cursor.fetchone()[0])
    except OperationalError as error:
        problem = database_errors.database_error_message(error)
        yield Error(problem, hint=hint, id="promoportal.E007")
    else:
        if version < _OLDEST:
            found = f"The database is PostgreSQL {version // 10000}."
            problem = f"{found} Version 15 or newer is required."
            yield Error(problem, hint=hint, id="promoportal.E007")


def _debug(**_: Any) -> Iterable[CheckMessage]:
    # "*" is not an address. With DEBUG, `manage.py run` accepts local connections only.
    named = [host for host in settings.ALLOWED_HOSTS if host != "*"]
    public = [host for host in named if not leads_here(host)]
    if settings.DEBUG and (public or not is_local(settings.PORTAL_URL)):
        yield Error(
            "DEBUG is true, but ALLOWED_HOSTS or PORTAL_URL contains a public address.",
            hint="Set DEBUG=false, or use local addresses for both.",
            id="promoportal.E008",
        )


def _secrets(**_: Any) -> Iterable[CheckMessage]:
    if not settings.DEBUG and len(settings.SECRET_KEY) < _LEAST_KEY:
        yield Error(
            f"SECRET_KEY is shorter than {_LEAST_KEY} characters.",
            hint=f"Set it to at least {_LEAST_KEY} random characters, and do not change "
            "it later.",
            id="promoportal.E009",
        )
    for name in ("OPTIMOVE_API_KEY", "PLATFORM_TOKEN"):
        if not re.fullmatch("[!-~]*", getattr(settings, name)):
            yield Error(
                f"{name} contains a character that is not allowed in an HTTP header, "
                "such as a space or line break.",
                hint=f"Set {name} to the exact value you received, without spaces or "
                "quotes.",
                id="promoportal.E009",
            )


def _portal_url(**_: Any) -> Iterable[CheckMessage]:
    host = urlsplit(settings.PORTAL_URL).hostname or ""
    allowed = settings.ALLOWED_HOSTS
    # A missing setting is reported as E006.
    if host and allowed and not validate_host(host, allowed):
        yield Error(
            f"The host of PORTAL_URL, {host}, is not in ALLOWED_HOSTS: every webhook "
            "from Optimove would be rejected.",
            hint=f"Add {host} to ALLOWED_HOSTS.",
            id="promoportal.E010",
        )


def _unencrypted(**_: Any) -> Iterable[CheckMessage]:
    """Reject http addresses, except PLATFORM_URL: it may be in a private network."""
    for name, address in (*_called_addresses(), ("PORTAL_URL", settings.PORTAL_URL)):
        is_checked = name != "PLATFORM_URL" and not settings.DEBUG
        if is_checked and address.startswith("http:"):
            yield Error(
                f"{name} is {address}, which would send keys and secrets unencrypted.",
                hint="Use an https:// address.",
                id="promoportal.E010",
            )


def _crashing(**_: Any) -> Iterable[CheckMessage]:
    if not settings.DEBUG and crash_points.chosen():
        yield Error(
            f"{crash_points.VARIABLE} is set, which makes processes crash on purpose.",
            hint=f"Remove {crash_points.VARIABLE} from the environment. It is for tests "
            "only.",
            id="promoportal.E011",
        )
