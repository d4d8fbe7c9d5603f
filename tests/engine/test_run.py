"""One command runs the portal: it restarts what crashes, and stops everything."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from urllib.error import HTTPError

import pytest
from django.conf import settings

from promoportal.runtime.supervisor import Program, Supervisor
from tests.engine.conftest import kill_family
from tests.engine.processes import (
    all_processes,
    are_gone,
    children,
    family,
    kill,
    until,
)

# Seconds within which killed processes must run again.
BACK = 10

Run = Callable[..., "subprocess.Popen[str]"]

# Web with its two workers, and three clusters: main, sentinel, monitor, pusher, workers.
WEB = 3
CLUSTERS = {"portal": 6, "collect": 6, "bulk": 6}


@pytest.fixture
def run(environment: dict[str, str]) -> Iterator[Run]:
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(settings.BASE_DIR / "manage.py"), "run", *arguments],
            env=environment | {"WEB_CONCURRENCY": "2"},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        kill_family(process)


def printed_url(process: subprocess.Popen[str]) -> str:
    """Return the URL that the process prints."""
    assert process.stdout
    found = re.search(r"http://\S+", process.stdout.readline())
    assert found
    return found[0]


def answers(url: str) -> bool:
    try:
        urllib.request.urlopen(f"{url}healthz", timeout=BACK).close()  # noqa: S310
    except HTTPError as error:
        error.close()
    except OSError:
        return False
    return True


def process_of(process: subprocess.Popen[str], of: str) -> int:
    """Return the first process of the web server, or of a queue's cluster."""
    alive = all_processes()
    (found,) = [
        pid
        for pid in children(process.pid)
        if f"--queue {of}" in alive[pid].command or (of == "web" and _is_web(pid))
    ]
    return found


def _is_web(pid: int) -> bool:
    return "gunicorn" in all_processes()[pid].command


def is_complete(process: subprocess.Popen[str]) -> bool:
    try:
        return len(family(process_of(process, "web"))) == WEB and all(
            len(family(process_of(process, queue))) >= size
            for queue, size in CLUSTERS.items()
        )
    except (KeyError, ValueError):
        return False


def test_killed_processes_are_restarted_and_all_exit_with_the_first(run: Run) -> None:
    process = run("--port", "0")
    url = printed_url(process)
    until(lambda: is_complete(process), "all are there", seconds=BACK)

    # Others exit with each: a parent's children, an idle worker's cluster.
    doomed = family(process.pid) - {process.pid}
    for victim in (
        process_of(process, "web"),
        process_of(process, "portal"),
        children(process_of(process, "bulk"))[0],
        children(children(process_of(process, "collect"))[0])[0],
    ):
        kill(victim)
    until(
        lambda: are_gone(doomed) and is_complete(process), "all are back", seconds=BACK
    )
    assert answers(url)

    all_pids = family(process.pid)
    kill(process.pid)
    process.wait()
    until(lambda: are_gone(all_pids), "nothing is left", seconds=2)


def test_a_stop_ends_all_processes_with_exit_code_0(run: Run) -> None:
    process = run("--port", "0")
    url = printed_url(process)
    until(lambda: is_complete(process), "all are there", seconds=BACK)
    assert answers(url)
    all_pids = family(process.pid)

    # Twice, as sent by `timeout` and some terminals.
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)

    assert process.wait(timeout=20) == 0
    assert are_gone(all_pids)
    _, errors = process.communicate()
    assert errors == ""


def test_a_port_in_use_is_reported_before_the_start(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = run("--port", str(port))
        output, errors = process.communicate(timeout=20)

    assert process.returncode == 1
    assert output == ""
    assert f"Cannot listen on 127.0.0.1:{port}" in errors
    assert "choose another with --port" in errors


def test_a_program_that_keeps_crashing_is_restarted_with_growing_delays() -> None:
    messages: list[str] = []
    supervisor = Supervisor([_program("raise SystemExit(3)")], say=messages.append)
    began = time.monotonic()

    with supervisor.listening():
        supervisor.start()
        patience = time.monotonic() + 20
        while len(messages) < 4 and time.monotonic() < patience:
            supervisor.poll()
        supervisor.stop()

    # Immediately, after half a second, after one more.
    assert time.monotonic() - began > 1.5
    assert messages[0] == "The program exited with code 3. Restarting it."


def test_a_program_that_does_not_stop_in_time_is_killed() -> None:
    script = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)"
    messages: list[str] = []
    supervisor = Supervisor([_program(script)], say=messages.append, grace=0.5)

    with supervisor.listening():
        supervisor.start()
        supervisor.poll(seconds=0.5)
        supervisor.stop()

    assert messages == ["The program did not stop within the time limit. Killing it."]


def _program(script: str) -> Program:
    return Program("The program", [sys.executable, "-S", "-c", script])
