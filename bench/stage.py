"""The environment of benchmarks: a test database, and a sandbox process."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Self

from django.conf import settings
from django.db import connection

from bench.clusters import MANAGE
from promoportal import wire


@dataclass(frozen=True)
class Measured:
    """The seconds for a number of items: of the portal's work, and of the floor."""

    what: str
    count: int
    work_seconds: float
    floor_seconds: float
    floor: str

    @property
    def ratio(self) -> float:
        """Return the seconds of the work divided by the seconds of the floor."""
        return self.work_seconds / self.floor_seconds

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "ratio": round(self.ratio, 2)}

    def as_text(self, name: str) -> str:
        work = self.count / self.work_seconds
        floor = self.count / self.floor_seconds
        return (
            f"{name:<11} {work:>9,.0f} {self.what}/s   floor {floor:>9,.0f}/s "
            f"({self.floor})   ratio {self.ratio:.1f}"
        )


class SandboxProcess:
    """A sandbox, which simulates Optimove and the platform, in a separate process."""

    def __init__(self, *arguments: str) -> None:
        """Start the sandbox with further arguments for `manage.py sandbox`."""
        self._process = subprocess.Popen(
            [*MANAGE, "sandbox", "--port", "0", "--json", *arguments],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.addresses: dict[str, str] = json.loads(self._process.stdout.readline())
        self._control = wire.Client(
            self.addresses["control"], side="sandbox", secrets={}, seconds=600
        )

    @property
    def port(self) -> int:
        return int(self.addresses["url"].rpartition(":")[2])

    def order(self, what: str, **body: Any) -> dict[str, Any]:
        """Send a command to the sandbox, and return its response."""
        answer = self._control.ask("POST", f"/{what}", body=body)
        assert isinstance(answer.body, dict)
        return dict(answer.body)

    def close(self) -> None:
        self._control.close()
        self._process.terminate()
        self._process.wait()


class Stage:
    """An empty database of the portal, and a sandbox in a separate process."""

    def __enter__(self) -> Self:
        self._name = connection.settings_dict["NAME"]
        connection.creation.create_test_db(verbosity=0, autoclobber=True)
        self.sandbox = SandboxProcess()
        for name in ("OPTIMOVE_API_URL", "OPTIMOVE_PROMOTIONS_URL", "PLATFORM_URL"):
            setattr(settings, name, self.sandbox.addresses[name])
        return self

    def __exit__(self, *_: object) -> None:
        self.sandbox.close()
        connection.creation.destroy_test_db(self._name, verbosity=0)


def seconds(work: Callable[[], Any]) -> float:
    """Return the seconds that `work` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
