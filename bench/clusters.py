"""Worker clusters that a benchmark starts and kills, on its own database."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urlencode

from django.db import connection

MANAGE = (sys.executable, str(Path(__file__).parents[1] / "manage.py"))


def start_cluster(queue: str, environment: Mapping[str, str]) -> subprocess.Popen[str]:
    """Start a worker cluster for the queue, and discard its error output."""
    return subprocess.Popen(
        [*MANAGE, "runworkers", "--queue", queue, "--skip-checks"],
        env={**environment, "Q_CLUSTER_NAME": queue},
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


def kill_cluster(cluster: subprocess.Popen[str]) -> None:
    """Kill all processes of the cluster at once."""
    os.killpg(cluster.pid, signal.SIGKILL)
    cluster.communicate()


def database_url() -> str:
    """Return the URL of the current database for other processes."""
    parameters = connection.get_connection_params()
    user = quote(str(parameters.get("user", "")), safe="")
    if password := parameters.get("password"):
        user += f":{quote(str(password), safe='')}"
    address: dict[str, object] = {
        name: value for name, value in parameters.items() if name in {"host", "port"}
    }
    name = connection.settings_dict["NAME"]
    return f"postgresql://{user}@/{name}?{urlencode(address)}"
