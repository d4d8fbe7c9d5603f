"""Django's PostgreSQL backend, with a server that is started when it is needed."""

from __future__ import annotations

import time
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db.backends.postgresql import base

from promoportal.embedded import server

# Made when it is missing; a test database is made by who runs the tests.
_NAME = "portal"


class DatabaseWrapper(base.DatabaseWrapper):
    """
    A connection to the server below PORTAL_HOME.

    Only opening a connection starts the server: looking at the models does not.
    """

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
            conn_params["host"] = server.address(settings.PORTAL_HOME, doubted=True)

    def _may_pass(self, error: Exception) -> bool:
        said = str(error)
        if f'database "{_NAME}" does not exist' in said:
            self._make_database()
            return True
        if "the database system is" in said:  # starting up, recovering, shutting down
            time.sleep(0.1)
            return True
        return "FATAL" not in said

    def _make_database(self) -> None:
        """Make it, unless someone else was faster while we waited for the lock."""
        with self._nodb_cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(hashtext(%s))", [_NAME])
            cursor.execute("SELECT FROM pg_database WHERE datname = %s", [_NAME])
            if not cursor.rowcount:
                cursor.execute(f'CREATE DATABASE "{_NAME}"')
