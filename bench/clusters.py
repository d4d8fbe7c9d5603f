"""Real clusters of workers on the database at hand, to be started and killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from urllib.parse import quote, urlencode

from django.conf import settings
from django.db import connection


def start_cluster(queue: str, environment: Mapping[str, str]) -> subprocess.Popen[str]:
    """A real cluster of that queue that says nothing."""
    return subprocess.Popen(
        [
            *(sys.executable, str(settings.BASE_DIR / "manage.py")),
            *("runworkers", "--queue", queue, "--skip-checks"),
        ],
        env={**environment, "Q_CLUSTER_NAME": queue},
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )


def kill_cluster(cluster: subprocess.Popen[str]) -> None:
    """All its processes at once, whatever they are at."""
    os.killpg(cluster.pid, signal.SIGKILL)
    cluster.communicate()


def database_url() -> str:
    """Where the database at hand is, for other processes."""
    parameters = connection.get_connection_params()
    who = quote(str(parameters.get("user", "")), safe="")
    if password := parameters.get("password"):
        who += f":{quote(str(password), safe='')}"
    where: dict[str, object] = {
        name: given for name, given in parameters.items() if name in {"host", "port"}
    }
    name = connection.settings_dict["NAME"]
    return f"postgresql://{who}@/{name}?{urlencode(where)}"
