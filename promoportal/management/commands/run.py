"""`manage.py run`: run the whole portal in the foreground."""

from __future__ import annotations

import os
import socket
import sys
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error as DatabaseLost
from django.db import connection

from promoportal import jobs
from promoportal.management.commands.runworkers import (
    clusters,
    detect_restore,
    refuse_unsafe_database,
)
from promoportal.runtime import parent_death
from promoportal.runtime.loopback import is_loopback
from promoportal.runtime.supervisor import Program, Supervisor

# The lock makes hosts that start together migrate one after the other. The number is
# "migr" in ASCII.
_LOCK = 0x6D696772

_BACKLOG = 512


class Command(BaseCommand):
    help = (
        "Apply migrations, then run the web server and workers until Ctrl-C or SIGTERM."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
        parser.add_argument(
            "--port",
            type=int,
            default=8000,
            help="port to listen on; 0 picks a free port",
        )

    def handle(self, *args: Any, host: str, port: int, **options: Any) -> None:
        refuse_public_host(host)
        parent_death.exit_with_parent()
        with listen(host, port) as listener:
            migrate()
            refuse_unsafe_database()
            detect_restore()
            self._print_addresses(listener)
            Supervisor([web(listener), *clusters()], say=self.stderr.write).run()
        self.stdout.write("Stopped.")

    def _print_addresses(self, listener: socket.socket) -> None:
        host, port = listener.getsockname()[:2]
        name = f"[{host}]" if ":" in host else host
        self.stdout.write(f"Web       http://{name}:{port}/")
        self.stdout.write(f"Workers   {', '.join(jobs.QUEUES)}")
        self.stdout.write(f"Database  {database()}")
        self.stdout.write("Press Ctrl-C to stop.")
        self.stdout.flush()


def refuse_public_host(host: str) -> None:
    """Refuse a public host with DEBUG, which shows errors and has known secrets."""
    if settings.DEBUG and not is_loopback(host):
        raise CommandError(
            f"DEBUG is true, but {host} accepts connections from other machines. Set "
            "DEBUG=false, or use --host 127.0.0.1."
        )


def listen(host: str, port: int) -> socket.socket:
    """
    Open the web server's socket here, so that clients wait while gunicorn restarts.

    :raises CommandError: if the port is in use, or cannot be used
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except (OSError, OverflowError) as error:
        raise CommandError(
            f"Cannot listen on {host}:{port} ({error}). Stop the program that uses "
            "this port, or choose another with --port."
        ) from error


def migrate() -> None:
    """
    Apply the migrations.

    :raises CommandError: if the database cannot be used
    """
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        call_command("migrate", interactive=False, verbosity=0, skip_checks=True)
    except DatabaseLost as error:
        raise CommandError(f"The database cannot be used: {error}") from error
    finally:
        connection.close()  # releases the lock


def database() -> str:
    """Return where the database is, without its password."""
    if connection.settings_dict["ENGINE"] == "promoportal.db.embedded":
        return f"embedded PostgreSQL in {settings.PORTAL_HOME}"
    return "{NAME} at {HOST}".format(**connection.settings_dict)


def web(listener: socket.socket) -> Program:
    """Return the program that runs gunicorn on this socket."""
    paths = filter(None, [os.environ.get("PYTHONPATH")])
    return Program(
        "Web",
        [
            *(sys.executable, "-m", "gunicorn"),
            *("--config", "python:promoportal.runtime.gunicorn_config"),
            *("--chdir", str(settings.BASE_DIR)),
            *("--bind", f"fd://{listener.fileno()}"),
        ],
        {"PYTHONPATH": os.pathsep.join([str(settings.BASE_DIR), *paths])},
        files=[listener.fileno()],
    )
