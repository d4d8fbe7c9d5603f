"""Django's PostgreSQL backend, with a server that is started when it is needed."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db.backends.postgresql import base, client

from promoportal.db.embedded import server

if sys.platform == "win32":  # it has no flock, which all of this stands on
    msg = (
        "There is no embedded PostgreSQL for this platform; set DATABASE_URL to one, "
        "such as postgresql://user:password@host/portal."
    )
    raise ImproperlyConfigured(msg)

# Made when it is missing; a test database is made by who runs the tests.
_NAME = "portal"


class DatabaseClient(client.DatabaseClient):
    """`manage.py dbshell`, with the psql that comes with the server."""

    @classmethod
    def settings_to_cmd_args_env(
        cls, settings_dict: dict[str, Any], parameters: Iterable[str]
    ) -> tuple[list[str], dict[str, str] | None]:
        place = {
            "HOST": server.address(settings.PORTAL_HOME),
            "PORT": server.PORT,
            "USER": server.ROLE,
        }
        args, env = super().settings_to_cmd_args_env(settings_dict | place, parameters)
        return [str(server.program(settings.PORTAL_HOME, args[0])), *args[1:]], env


class DatabaseWrapper(base.DatabaseWrapper):
    """
    A connection to the server below PORTAL_HOME.

    Only opening a connection starts the server: looking at the models does not.
    """

    client_class = DatabaseClient

    def get_connection_params(self) -> dict[str, Any]:
        """
        What psycopg connects with; makes sure that there is something to connect to.

        :raises ImproperlyConfigured: where the embedded server was not asked for
        """
        if not settings.EMBEDDED_DATABASE:
            msg = (
                "The embedded PostgreSQL is for a desk. Set DATABASE_URL, or set "
                "EMBEDDED_DATABASE=true if you mean to use it with DEBUG off."
            )
            raise ImproperlyConfigured(msg)
        return super().get_connection_params() | {
            "host": server.address(settings.PORTAL_HOME),
            "port": server.PORT,
            "user": server.ROLE,
        }

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Connect, with patience for a server that was killed or is recovering."""
        deadline = time.monotonic() + server.PATIENCE
        while True:
            try:
                return super().get_new_connection(conn_params)
            except self.Database.OperationalError as error:
                if time.monotonic() > deadline or not self._may_pass(error):
                    raise
            time.sleep(0.05)
            conn_params["host"] = server.address(settings.PORTAL_HOME, doubted=True)

    def _may_pass(self, error: Exception) -> bool:
        said = str(error)
        if f'database "{_NAME}" does not exist' in said:
            self._make_database()
            return True
        # It is starting up, recovering, or shutting down; or it is not there.
        return "the database system is" in said or "FATAL" not in said

    def _make_database(self) -> None:
        """Make it, unless someone else was faster while we waited for the lock."""
        with self._nodb_cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(hashtext(%s))", [_NAME])
            cursor.execute("SELECT FROM pg_database WHERE datname = %s", [_NAME])
            if not cursor.rowcount:
                cursor.execute(f'CREATE DATABASE "{_NAME}"')
