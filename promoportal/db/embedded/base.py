"""Django's PostgreSQL backend, which starts the embedded server when it is needed."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db.backends.postgresql import base, client

from promoportal.db.embedded import server
from promoportal.db.embedded.keeper import ROLE

if sys.platform == "win32":  # has no flock, which this package needs
    raise ImproperlyConfigured(
        "There is no embedded PostgreSQL for this platform. Set DATABASE_URL, for "
        "example to postgresql://user:password@host/portal."
    )

# The database that is created if it is missing. The test runner creates its own.
_NAME = "portal"


class DatabaseClient(client.DatabaseClient):
    """The client of `manage.py dbshell`: the server's own psql."""

    @classmethod
    def settings_to_cmd_args_env(
        cls, settings_dict: dict[str, Any], parameters: Iterable[str]
    ) -> tuple[list[str], dict[str, str] | None]:
        place = {
            "HOST": server.address(settings.PORTAL_HOME),
            "PORT": server.PORT,
            "USER": ROLE,
        }
        args, env = super().settings_to_cmd_args_env(settings_dict | place, parameters)
        return [str(server.program(settings.PORTAL_HOME, args[0])), *args[1:]], env


class DatabaseWrapper(base.DatabaseWrapper):
    """
    A connection to the server below PORTAL_HOME.

    Opening a connection starts the server. Loading the models does not.
    """

    client_class = DatabaseClient

    def get_connection_params(self) -> dict[str, Any]:
        """
        Return psycopg's parameters. If the server does not run, start it first.

        :raises ImproperlyConfigured: if the embedded server is not enabled
        """
        if not settings.EMBEDDED_DATABASE:
            raise ImproperlyConfigured(
                "The embedded PostgreSQL is for development. Set DATABASE_URL, or set "
                "EMBEDDED_DATABASE=true to use it with DEBUG=false."
            )
        return super().get_connection_params() | {
            "host": server.address(settings.PORTAL_HOME),
            "port": server.PORT,
            "user": ROLE,
        }

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Connect, and retry while the server is starting or recovering."""
        deadline = time.monotonic() + server.PATIENCE
        while True:
            try:
                return super().get_new_connection(conn_params)
            except self.Database.OperationalError as error:
                if time.monotonic() > deadline or not self._may_retry(error):
                    raise
            time.sleep(0.05)
            conn_params["host"] = server.address(settings.PORTAL_HOME, recheck=True)

    def _may_retry(self, error: Exception) -> bool:
        text = str(error)
        if f'database "{_NAME}" does not exist' in text:
            self._make_database()
            return True
        # The server is starting, recovering or shutting down, or does not run.
        return "the database system is" in text or "FATAL" not in text

    def _make_database(self) -> None:
        """Create the database, unless another process created it first."""
        with self._nodb_cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(hashtext(%s))", [_NAME])
            cursor.execute("SELECT FROM pg_database WHERE datname = %s", [_NAME])
            if not cursor.rowcount:
                cursor.execute(f'CREATE DATABASE "{_NAME}"')
