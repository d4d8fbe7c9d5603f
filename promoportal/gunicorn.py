"""
The old name of `promoportal.runtime.gunicorn_config`, for one release.

A supervisor that was started before an upgrade restarts the web process with it.
"""

from __future__ import annotations

from promoportal.runtime.gunicorn_config import *  # noqa: F403
