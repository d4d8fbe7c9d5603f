"""The system under test: the sandbox, the portal, and the workers of a second host."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Any, Self
from urllib.parse import urljoin

import requests

from bench.chaos.processes import send
from bench.chaos.replicated_database import ReplicatedDatabase
from promoportal import wire
from promoportal.runtime import parent_death
from promoportal.runtime.ports import free_port

_MANAGE = Path(__file__).parents[2] / "manage.py"
_TIMEOUT = 120.0
_JSON = {"Content-Type": "application/json"}
# The staff who use the pages, and their password for this database.
STAFF = ("ann", "bo")
PASSWORD = "fault-test-only"  # noqa: S105
# Creates the staff, and listeners for the webhooks that the test sends itself.
_SETUP = f"""
import json
from executions import listeners
from promoportal.admin.roles import Role, create_staff
for name in {STAFF!r}:
    create_staff(name, Role.OPERATIONS, {PASSWORD!r})
print(json.dumps({{
    event: listeners.open_listener(event).path for event in (4, 11, 13)
}}))
"""


# With these settings, jobs are delivered again and killed while they still run.
_WRONG_QUEUE = {"JOB_RETRY_SECONDS": "1", "JOB_TIMEOUT_SECONDS": "6"}
# Every job is stored twice, so that two workers can run it at the same time.
_EVERY_JOB_TWICE = """
    CREATE FUNCTION chaos_job_twice() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF pg_trigger_depth() = 1 THEN
            INSERT INTO django_q_ormq (key, payload, lock)
            VALUES (NEW.key, NEW.payload, NEW.lock);
        END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER chaos_job_twice AFTER INSERT ON django_q_ormq
    FOR EACH ROW EXECUTE FUNCTION chaos_job_twice();
"""


class SystemUnderTest:
    """A separate portal and sandbox in `home`, which end with the current process."""

    def __init__(
        self,
        home: Path,
        *,
        capability: str = "idempotent,askable",
        wrong_queue: bool = False,
        variables: Mapping[str, str] | None = None,
        second_host: Path = _MANAGE,
    ) -> None:
        """
        :param capability: `PLATFORM_CAPABILITY`, and how the simulated platform behaves
        :param wrong_queue: use forbidden settings of django-q2, and run every job twice
        :param variables: further environment variables of the portal
        :param second_host: the `manage.py` of the second host, which may be older
        """
        self.home = home
        self.portal_port, self.sandbox_port = free_port(0), free_port(0)
        self.capability = capability
        self._wrong_queue = wrong_queue
        self._variables = variables or {}
        self._second_host = second_host
        self.database = ReplicatedDatabase(home)
        self._ends = ExitStack()
        self._listeners: dict[int, str] = {}  # the test's own, by event type
        self._log: IO[bytes] | None = None
        self._started: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._log = (self.home / "chaos.log").open("ab")
        self._ends.enter_context(self.database)
        self._start_sandbox()
        self._start("portal", "run", "--port", str(self.portal_port), "--skip-checks")
        self._wait_for(f"{self.control}/")
        self._wait_for(f"http://127.0.0.1:{self.portal_port}/healthz")
        if self._wrong_queue:
            self.rows(_EVERY_JOB_TWICE)
        self._start(
            "second host", "runworkers", "--skip-checks", manage=self._second_host
        )
        self.manage("listeners", "register")
        self._listeners = {int(event): at for event, at in self.ask(_SETUP).items()}
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._started.values():
            send(process.pid, signal.SIGTERM)
        for process in reversed(self._started.values()):
            self._wait(process)
        self._ends.close()
        if self._log:
            self._log.close()

    @property
    def control(self) -> str:
        return f"http://127.0.0.1:{self.sandbox_port}/control"

    @property
    def hosts(self) -> list[int]:
        """Return the pids of the supervisors. The faults kill their descendants."""
        return [self._started[name].pid for name in ("portal", "second host")]

    def kill_sandbox(self) -> None:
        """Kill the sandbox, and start it again at the same address."""
        self._started["sandbox"].kill()
        self._wait(self._started["sandbox"])
        self._start_sandbox()
        self._wait_for(f"{self.control}/")

    @property
    def portal_url(self) -> str:
        return f"http://127.0.0.1:{self.portal_port}/"

    @property
    def journal(self) -> Path:
        """Return the file in which the sandbox keeps what it did."""
        return self.home / "far" / "journal.jsonl"

    def rows(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """
        Execute a statement in the portal's database, and return its rows.

        :raises psycopg.Error: if the database is down, among other reasons
        """
        return self.database.rows(sql, *parameters)

    def order(self, what: str, **body: Any) -> Any:
        """Send a command to the sandbox, and return its response."""
        return self._ask("POST", what, body)

    def look(self, what: str) -> Any:
        return self._ask("GET", what, None)

    def announce(self, event: int, body: dict[str, Any]) -> None:
        """
        Send a webhook to the portal until the portal accepts it.

        :raises RuntimeError: if the portal does not accept it in time
        """
        url = urljoin(self.portal_url, self._listeners[event])
        data = json.dumps(body, default=float)  # the numbers of the sandbox are exact
        until = time.monotonic() + _TIMEOUT
        while time.monotonic() < until:
            with suppress(requests.RequestException):
                if requests.post(url, data=data, headers=_JSON, timeout=10).ok:
                    return
            time.sleep(0.2)
        raise RuntimeError("The portal did not accept a webhook that was sent again.")

    def clear_faults(self) -> None:
        self._ask("DELETE", "faults", None)

    def manage(self, *words: str) -> dict[str, Any]:
        """Run a command of `manage.py`, and return its JSON output."""
        output: dict[str, Any] = json.loads(self._last_line(*words, "--json"))
        return output

    def manage_each(self, name: str, arguments: list[str]) -> list[dict[str, Any]]:
        """Run a command once per argument, in one process; return the JSON outputs."""
        if not arguments:
            return []
        script = (
            "from django.core.management import call_command as call;"
            f"[call({name!r}, each, json=True) for each in {arguments!r}]"
        )
        lines = self._output("shell", "--no-imports", "-c", script).splitlines()
        return [json.loads(line) for line in lines[-len(arguments) :]]

    def ask(self, script: str) -> Any:
        """Run a script in the portal's shell, and return its JSON output."""
        return json.loads(self._last_line("shell", "--no-imports", "-c", script))

    def _last_line(self, *words: str) -> str:
        return self._output(*words).rpartition("\n")[2]

    def _output(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, str(_MANAGE), *words],
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()[-500:]}")
        return done.stdout.strip()

    def _ask(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        with wire.Client(
            self.control, side="sandbox", secrets={}, seconds=60
        ) as client:
            return client.ask(method, f"/{path}", body=body).body

    def _start_sandbox(self) -> None:
        own = {"idempotent": "keyed", "idempotent,askable": "idempotent"}
        words = ["--capability", own.get(self.capability, self.capability)]
        words += ["--port", str(self.sandbox_port), "--keep", str(self.home / "far")]
        words += ["--with-parent", str(os.getpid())]  # ends even if this one is killed
        self._start("sandbox", "sandbox", *words)

    @property
    def _environment(self) -> dict[str, str]:
        sandbox = f"http://127.0.0.1:{self.sandbox_port}"
        outer = {k: v for k, v in os.environ.items() if k != "DATABASE_URL_FILE"}
        return outer | {
            "DATABASE_URL": self.database.url,
            "PORTAL_HOME": str(self.home),
            "PORTAL_URL": f"http://127.0.0.1:{self.portal_port}",
            "OPTIMOVE_API_URL": f"{sandbox}/optimove",
            "OPTIMOVE_PROMOTIONS_URL": f"{sandbox}/promotions",
            "PLATFORM_URL": f"{sandbox}/platform",
            "PLATFORM_CAPABILITY": self.capability,
            "REDEMPTION_INTERVAL_SECONDS": "2",
            "LIST_AGAIN_AFTER_SECONDS": "10",
            **self._variables,
            **parent_death.environment(),
        }

    def _start(self, name: str, *words: str, manage: Path = _MANAGE) -> None:
        self._started[name] = subprocess.Popen(
            [sys.executable, str(manage), *words],
            # Only for services, which skip the checks: E003 would reject commands.
            env=self._environment | (_WRONG_QUEUE if self._wrong_queue else {}),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _wait_for(self, url: str) -> None:
        until = time.monotonic() + _TIMEOUT
        with wire.Client(url, side="chaos", secrets={}, seconds=2) as client:
            while time.monotonic() < until:
                try:
                    client.ask("GET", "")
                except wire.WireError:
                    time.sleep(0.2)
                else:
                    return
        msg = f"{url} did not come up; {self.home / 'chaos.log'} says why."
        raise RuntimeError(msg)
