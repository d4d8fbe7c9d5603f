"""
The old name of `promoportal.db.embedded.keeper`, for one release.

A process that was started before an upgrade starts the keeper by this name.
"""

from __future__ import annotations

import sys

from promoportal.db.embedded.keeper import main

if __name__ == "__main__":
    main(*sys.argv[1:])
