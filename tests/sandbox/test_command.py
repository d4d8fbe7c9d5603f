from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

ROOT = Path(__file__).resolve().parents[2]
SANDBOX = [sys.executable, "manage.py", "sandbox", "--port", "0"]
# No database listens there: the sandbox must not need one.
NOWHERE = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:9/nothing"}


@contextmanager
def started(*arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [*SANDBOX, *arguments],
        cwd=ROOT,
        env=os.environ | NOWHERE | environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def addresses_of(process: subprocess.Popen[str]) -> dict[str, str]:
    assert process.stdout is not None
    addresses: dict[str, str] = json.loads(process.stdout.readline())
    return addresses


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_sandbox_serves_its_addresses_until_a_signal_ends_it(number: int) -> None:
    with started("--json", OPTIMOVE_API_KEY="k", PLATFORM_TOKEN="t") as process:
        addresses = addresses_of(process)
        listeners = requests.get(
            f"{addresses['OPTIMOVE_API_URL']}/General/GetRegisteredEventListeners",
            headers={"X-API-KEY": "k"},
            timeout=5,
        )
        reward = requests.get(
            f"{addresses['PLATFORM_URL']}/rewards/k1",
            headers={"Authorization": "Bearer t"},
            timeout=5,
        )
        process.send_signal(number)

        assert process.wait(5) == 0
    assert (listeners.status_code, reward.status_code) == (200, 404)


def test_the_sandbox_prints_the_settings_for_the_portal() -> None:
    with started() as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(5)]

    assert "  OPTIMOVE_PROMOTIONS_URL=http://127.0.0.1:" in "".join(lines)
    assert "/control/" in lines[-1]


def test_a_port_that_is_taken_is_reported_in_a_sentence() -> None:
    with started("--json") as process:
        port = addresses_of(process)["url"].rpartition(":")[2]
        second = subprocess.run(
            [*SANDBOX[:3], "--port", port],
            cwd=ROOT,
            env=os.environ | NOWHERE,
            capture_output=True,
            text=True,
            check=False,
        )

    assert second.returncode == 1
    assert "cannot listen" in second.stderr
    assert "Traceback" not in second.stderr


def test_the_sandbox_ends_soon_after_its_parent() -> None:
    parent = (
        "import subprocess, sys, time;"
        "subprocess.Popen(sys.argv[1:]);"
        "print(flush=True) or time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", parent, *SANDBOX, "--json", "--with-parent"],
        cwd=ROOT,
        env=os.environ | NOWHERE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        url = addresses_of(process)["url"]
        process.kill()

        assert gone_within(2, url)


def test_the_sandbox_outlives_the_thread_that_started_it() -> None:
    parent = (
        "import subprocess, sys, threading, time;"
        "thread = threading.Thread(target=subprocess.Popen, args=(sys.argv[1:],));"
        "thread.start() or thread.join() or print(flush=True) or time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", parent, *SANDBOX, "--json", "--with-parent"],
        cwd=ROOT,
        env=os.environ | NOWHERE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        url = addresses_of(process)["url"]

        assert not gone_within(1, url)
        process.kill()
        assert gone_within(2, url)


def gone_within(seconds: float, url: str) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            requests.get(url, timeout=1)
        except requests.ConnectionError:
            return True
        time.sleep(0.05)
    return False
