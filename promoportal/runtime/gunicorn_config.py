"""How gunicorn serves the portal. Read by gunicorn: `--config python:promoportal.runtime.gunicorn_config`."""

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

# Seconds: a worker that stays silent for as long is killed, and one that is to stop may
# finish its requests for as long.
timeout = 60
graceful_timeout = 20
keepalive = 5

# Twice what the longest address of the admin needs.
limit_request_line = 4094
limit_request_fields = 64
limit_request_field_size = 8190

# Paths hold the listeners' secrets: none is written down, and what goes wrong is
# logged by the portal's own rules.
accesslog = None
logconfig_dict: dict[str, Any] = {
    **settings.LOGGING,
    "loggers": {
        name: {"level": "WARNING", "handlers": [], "propagate": True}
        for name in ("gunicorn.error", "gunicorn.access")
    },
}

# Which proxy to believe is Django's to decide (TRUSTED_PROXIES).
forwarded_allow_ips = ""

# A socket in the user's home through which it could be controlled, from gunicorn 25 on.
control_socket_disable = True


def on_starting(_server: Any) -> None:
    parent_death.exit_with_parent()
