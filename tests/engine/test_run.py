"""One command runs the portal: what dies comes back, and what is stopped is stopped."""

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
from tests.engine.conftest import put_down
from tests.engine.processes import are_gone, children, everyone, family, kill, until

# Seconds within which whatever was killed must be back.
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
        put_down(process)


def page(process: subprocess.Popen[str]) -> str:
    """The address it says it serves."""
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


def part(process: subprocess.Popen[str], of: str) -> int:
    """The first process of the web, or of a queue's cluster."""
    alive = everyone()
    (found,) = [
        pid
        for pid in children(process.pid)
        if f"--queue {of}" in alive[pid].command or (of == "web" and _is_web(pid))
    ]
    return found


def _is_web(pid: int) -> bool:
    return "gunicorn" in everyone()[pid].command


def is_whole(process: subprocess.Popen[str]) -> bool:
    try:
        return len(family(part(process, "web"))) == WEB and all(
            len(family(part(process, queue))) >= size
            for queue, size in CLUSTERS.items()
        )
    except (KeyError, ValueError):
        return False


def test_whoever_is_killed_is_back_and_without_the_first_none_is_left(run: Run) -> None:
    process = run("--port", "0")
    url = page(process)
    until(lambda: is_whole(process), "all are there", seconds=BACK)

    # Each takes its own along: a parent its children, an idle worker its cluster.
    doomed = family(process.pid) - {process.pid}
    for victim in (
        part(process, "web"),
        part(process, "portal"),
        children(part(process, "bulk"))[0],
        children(children(part(process, "collect"))[0])[0],
    ):
        kill(victim)
    until(lambda: are_gone(doomed) and is_whole(process), "all are back", seconds=BACK)
    assert answers(url)

    everybody = family(process.pid)
    kill(process.pid)
    process.wait()
    until(lambda: are_gone(everybody), "nothing is left", seconds=2)


def test_asked_to_stop_it_stops_everything_and_ends_with_0(run: Run) -> None:
    process = run("--port", "0")
    url = page(process)
    until(lambda: is_whole(process), "all are there", seconds=BACK)
    assert answers(url)
    everybody = family(process.pid)

    # Twice, as `timeout` and some terminals do.
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)

    assert process.wait(timeout=20) == 0
    assert are_gone(everybody)
    _, said = process.communicate()
    assert said == ""


def test_a_port_in_use_is_said_before_anything_starts(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = run("--port", str(port))
        output, said = process.communicate(timeout=20)

    assert process.returncode == 1
    assert output == ""
    assert f"Cannot listen at 127.0.0.1, port {port}" in said
    assert "choose another with --port" in said


def test_what_dies_again_and_again_is_started_ever_later() -> None:
    said: list[str] = []
    supervisor = Supervisor([_program("raise SystemExit(3)")], say=said.append)
    began = time.monotonic()

    with supervisor.listening():
        supervisor.start()
        patience = time.monotonic() + 20
        while len(said) < 4 and time.monotonic() < patience:
            supervisor.poll()
        supervisor.stop()

    # At once, after half a second, after one more.
    assert time.monotonic() - began > 1.5
    assert said[0] == "The program ended with 3; it is started again."


def test_what_does_not_end_in_time_is_killed() -> None:
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)"
    said: list[str] = []
    supervisor = Supervisor([_program(deaf)], say=said.append, grace=0.5)

    with supervisor.listening():
        supervisor.start()
        supervisor.poll(seconds=0.5)
        supervisor.stop()

    assert said == ["The program did not end in time and is killed."]


def _program(script: str) -> Program:
    return Program("The program", [sys.executable, "-S", "-c", script])
