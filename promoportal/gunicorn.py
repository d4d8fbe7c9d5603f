"""
The old name of `promoportal.runtime.gunicorn_config`, kept for one release.

A supervisor that was started before an upgrade restarts the web process by this name.
"""

from __future__ import annotations

from promoportal.runtime.gunicorn_config import *  # noqa: F403
