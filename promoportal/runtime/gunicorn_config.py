"""Settings of gunicorn: `--config python:promoportal.runtime.gunicorn_config`."""

from __future__ import annotations

import os
from typing import Any

from django.conf import settings

from promoportal.runtime import parent_death

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "promoportal.settings")

wsgi_app = "promoportal.wsgi:application"
worker_class = "gthread"
workers = settings.WEB_CONCURRENCY
threads = 8
proc_name = "promoportal"

# Seconds after which a silent worker is killed, and seconds that a stopping worker has
# to finish its requests.
timeout = 60
graceful_timeout = 20
keepalive = 5

# Twice the length of the admin's longest URL.
limit_request_line = 4094
limit_request_fields = 64
limit_request_field_size = 8190

# Paths contain the listeners' secrets, so gunicorn logs no requests. Its errors go to
# the portal's handlers, which redact secrets.
accesslog = None
logconfig_dict: dict[str, Any] = {
    **settings.LOGGING,
    "loggers": {
        name: {"level": "WARNING", "handlers": [], "propagate": True}
        for name in ("gunicorn.error", "gunicorn.access")
    },
}

# Django decides which proxies are trusted (TRUSTED_PROXIES).
forwarded_allow_ips = ""

# Since gunicorn 25, a socket in the user's home folder can control the server.
control_socket_disable = True


def on_starting(_server: Any) -> None:
    parent_death.exit_with_parent()
