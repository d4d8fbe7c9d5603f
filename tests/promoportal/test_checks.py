"""Configurations with which the portal must not start, tested from a shell."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from pytest_django import Settings

from bench.clusters import database_url
from promoportal import checks, optimove
from promoportal.runtime import loopback

PRODUCTION = {
    "DEBUG": "false",
    "ALLOWED_HOSTS": "portal.example.com",
    "SECRET_KEY": "x7" * 12 + "-secret-of-many-different-letters-0123456789",
    "PORTAL_URL": "https://portal.example.com",
    "OPTIMOVE_API_URL": "https://api5.optimove.net",
    "OPTIMOVE_PROMOTIONS_URL": "https://optipromo-tenants-eu.optimove.net",
    "OPTIMOVE_API_KEY": "key",
    "PLATFORM_URL": "https://platform.example.com",
    "PLATFORM_TOKEN": "token",
    "TRUSTED_PROXIES": "1",
    "DATABASE_URL": "postgresql://portal@127.0.0.1:1/portal",
}
NOWHERE = "postgresql://portal:sesame@127.0.0.1:1/portal"


def manage(*words: str, **changed: str) -> subprocess.CompletedProcess[str]:
    """Run a command with no other environment variables than these."""
    keep = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [sys.executable, str(settings.BASE_DIR / "manage.py"), *words],
        env=keep | changed,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def production(**changed: str) -> dict[str, str]:
    return PRODUCTION | changed


def test_production_settings_pass_every_check() -> None:
    done = manage("check", "--deploy", "--fail-level", "WARNING", **PRODUCTION)

    assert (done.returncode, done.stderr) == (0, "")


def test_the_portal_starts_without_any_setting() -> None:
    done = manage("check", DATABASE_URL=NOWHERE)

    assert done.returncode == 0


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        pytest.param({"DEBUG": "maybe"}, "DEBUG is 'maybe'", id="not a flag"),
        pytest.param({"SECRET_KEY": ""}, "SECRET_KEY", id="no secret key"),
        pytest.param({"OPTIMOVE_CONTRACT": "/none"}, "E001", id="E001"),
        pytest.param({"PLATFORM_URL": "http://127.0.0.1:8100"}, "E002", id="E002"),
        pytest.param({"JOB_RETRY_SECONDS": "60"}, "E003", id="E003"),
        pytest.param(
            {"DATABASE_URL": f"{NOWHERE}?pool=true"}, "E004", id="E004, from the URL"
        ),
        pytest.param({"LIMIT_VALUE": "EUR"}, "E005", id="E005, a limit"),
        pytest.param({"PLATFORM_CAPABILITY": "x"}, "E005", id="E005, a capability"),
        pytest.param(
            {"PLATFORM_CAPABILITY": "askable,settle_grace=30s"},
            "settle_grace is 30 seconds",
            id="E005, a short grace",
        ),
        pytest.param({"PLATFORM_TOKEN": ""}, "PLATFORM_TOKEN is not set", id="E006"),
        pytest.param({"ALLOWED_HOSTS": ""}, "ALLOWED_HOSTS is not set", id="E006, too"),
        pytest.param({"DEBUG": "true"}, "E008", id="E008"),
        pytest.param({"SECRET_KEY": "guess" * 9}, "E009", id="E009, a short key"),
        pytest.param({"OPTIMOVE_API_KEY": "a\nb"}, "E009", id="E009, a line break"),
        pytest.param({"PLATFORM_TOKEN": "šifra"}, "E009", id="E009, a letter"),
        pytest.param(
            {"PORTAL_URL": "https://elsewhere.example.com"}, "E010", id="E010, unnamed"
        ),
        pytest.param(
            {"OPTIMOVE_API_URL": "http://api5.optimove.net"}, "E010", id="E010, clear"
        ),
        pytest.param({"JOB_TIMEOUT_SECONDS": "5"}, "E003", id="E003, a short job"),
        pytest.param({"PORTAL_CRASH_AT": "reading.taken"}, "E011", id="E011"),
        pytest.param(
            {"LIMIT_VALUE": "EUR=5,EUR=6"}, "only once", id="E005, a unit twice"
        ),
        pytest.param(
            {"OPTIMOVE_CONTRACT": "{contract}"}, "E002", id="E002, in the contract"
        ),
        pytest.param(
            {"REDEMPTION_INTERVAL_SECONDS": "1" * 30}, "Use a whole", id="too much"
        ),
        pytest.param({"DATABASE_URL": "mysql://u:p@h/d"}, "postgresql://", id="MySQL"),
        pytest.param({"PLATFORM_TOKEN_FILE": "/none"}, "cannot be read", id="a file"),
    ],
)
def test_a_mistake_stops_the_start_with_one_sentence(
    changed: dict[str, str], words: str, tmp_path: Path
) -> None:
    contract = tmp_path / "contract.toml"
    built_in = Path(optimove.__file__).with_name("contract.toml").read_text()
    local = built_in.replace('host = ""', 'host = "https://127.1"', 1)
    contract.write_text(local)
    changed = {name: value.format(contract=contract) for name, value in changed.items()}
    done = manage("check", **production(**changed))

    lines = [line for line in done.stderr.splitlines() if line.strip()]
    lines = [line for line in lines if "HINT" not in line and "issue" not in line]
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert len([line for line in lines if line != "ERRORS:"]) == 1
    assert "sesame" not in done.stderr


def test_crash_points_are_ignored_in_production_even_without_checks() -> None:
    script = (
        "from promoportal.runtime import crash_points; crash_points.at(crash_points.Point.READING_TAKEN);"
        "print('went on')"
    )
    done = manage(
        "shell", "-v0", "-c", script, **production(PORTAL_CRASH_AT="reading.taken")
    )

    assert (done.returncode, done.stdout) == (0, "went on\n")


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["check", "--database", "default"], id="check"),
        pytest.param(["migrate", "--no-input"], id="migrate"),
        pytest.param(["listeners", "list"], id="listeners"),
        pytest.param(["open", "7311"], id="open"),
        pytest.param(["reconcile", "7311", "--json"], id="reconcile"),
    ],
)
def test_an_unreachable_database_is_reported_as_a_sentence(command: list[str]) -> None:
    done = manage(*command, DATABASE_URL=NOWHERE)

    assert done.returncode == 1
    assert "Cannot connect to the database: " in done.stderr
    assert "DATABASE_URL" in done.stderr
    assert "Traceback" not in done.stderr
    assert "sesame" not in done.stderr
    assert not done.stdout.strip()


def test_with_debug_other_machines_cannot_connect() -> None:
    done = manage("run", "--host", "::", "--port", "0", DATABASE_URL=NOWHERE)

    assert (done.returncode, done.stdout) == (1, "")
    assert "DEBUG is true, but :: accepts connections from other" in done.stderr


def test_a_database_without_tables_is_reported_as_a_sentence(db: None) -> None:
    name = settings.DATABASES["default"]["NAME"]
    empty = database_url().replace(f"/{name}?", "/template1?")

    done = manage("open", "7311", DATABASE_URL=empty)

    assert done.returncode == 1
    assert "Run `manage.py migrate`, then try again." in done.stderr
    assert "Traceback" not in done.stderr


def test_a_mistake_of_a_user_is_a_sentence_and_an_exit_code(db: None) -> None:
    done = manage("reconcile", "never-heard-of", "--json", DATABASE_URL=database_url())

    assert (done.returncode, done.stdout) == (1, "")
    assert "Execution 'never-heard-of' not found." in done.stderr


# --- Single checks, without a shell ---------------------------------------------------


def ids(*found: object) -> list[str]:
    return [str(getattr(error, "id", "")).rpartition(".")[2] for error in found]


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("http://127.0.0.1:8100/x", True),
        ("http://127.9.9.9", True),
        ("http://localhost", True),
        ("http://LOCALHOST:1", True),
        ("http://sandbox.localhost", True),
        ("http://[::1]:8100", True),
        ("http://0.0.0.0", True),
        ("http://127.1", True),
        ("http://2130706433", True),
        ("http://0x7f.1", True),
        ("http://[::ffff:127.0.0.1]", True),
        ("http://localhost.", True),
        ("https://api5.optimove.net", False),
        ("https://localhost.example.com", False),
        ("https://10.0.0.1", False),
        ("", False),
    ],
)
def test_addresses_of_this_machine_are_recognised(address: str, local: bool) -> None:
    assert loopback.is_local(address) is local


@pytest.mark.parametrize(
    ("hosts", "url", "found"),
    [
        pytest.param(["127.0.0.1", "localhost", "[::1]"], "", [], id="a desk"),
        pytest.param(["*"], "http://localhost:8000", [], id="any, on this machine"),
        pytest.param(["portal.example.com"], "http://localhost", ["E008"], id="a host"),
        pytest.param(["localhost"], "https://portal.example.com", ["E008"], id="a URL"),
    ],
)
def test_debug_is_refused_with_a_public_address(
    settings: Settings, hosts: list[str], url: str, found: list[str]
) -> None:
    settings.DEBUG = True
    settings.ALLOWED_HOSTS = hosts
    settings.PORTAL_URL = url or "http://127.0.0.1:8000"

    assert ids(*checks._debug()) == found


@pytest.mark.parametrize(
    ("timeout", "retry", "found"),
    [
        pytest.param(60, 240, [], id="as set"),
        pytest.param(60, 190, ["E003"], id="just too short"),
        pytest.param(60, 191, [], id="just enough"),
        pytest.param(100, 240, ["E003"], id="a longer job"),
    ],
)
def test_a_job_is_not_started_again_while_it_runs(
    settings: Settings, timeout: int, retry: int, found: list[str]
) -> None:
    settings.Q_CLUSTER = settings.Q_CLUSTER | {"timeout": timeout, "retry": retry}

    assert ids(*checks._retry()) == found


def test_a_contract_reports_its_mistakes_with_their_places(
    settings: Settings, tmp_path: Path
) -> None:
    contract = tmp_path / "contract.toml"
    contract.write_text("[vendor]\ntime_zone = 'Mars/Olympus'\n")
    settings.OPTIMOVE_CONTRACT = str(contract)

    [error] = checks._contract()

    assert "vendor.time_zone" in error.msg
    assert str(contract) in error.msg


def test_the_database_is_checked_when_it_is_named(db: None) -> None:
    assert checks._database() == []
    assert checks._database(databases=["default"]) == []
