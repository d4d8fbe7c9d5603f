"""
A process that uses the embedded database: it runs each line of its input as SQL.

Run as `python user_process.py HOME`. For each line it prints one line of JSON: the
rows, or the error as a sentence. It exits at the end of its input.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import django
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import Error, connection


def answer(line: str) -> object:
    try:
        # As at the start of a request.
        connection.close_if_unusable_or_obsolete()
        with connection.cursor() as cursor:
            cursor.execute(line)
            return cursor.fetchall() if cursor.description else []
    except (Error, ImproperlyConfigured) as error:
        return str(error)


def main(home: str) -> None:
    settings.configure(
        PORTAL_HOME=Path(home),
        EMBEDDED_DATABASE=os.environ.get("EMBEDDED_DATABASE") != "false",
        DATABASES={
            "default": {
                "ENGINE": "promoportal.db.embedded",
                "NAME": "portal",
                "CONN_MAX_AGE": None,
                "CONN_HEALTH_CHECKS": True,
            }
        },
    )
    django.setup()
    for line in sys.stdin:
        if line == "fork\n" and os.fork() == 0:
            time.sleep(1.5)
            os._exit(0)
        result = [] if line == "fork\n" else answer(line)
        print(json.dumps(result, default=str), flush=True)  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
