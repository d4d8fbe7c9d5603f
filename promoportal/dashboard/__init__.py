"""Staff pages with data of all three apps. Importing the package registers them."""

from __future__ import annotations

from promoportal.dashboard import (  # noqa: F401
    customers,
    execution_funnel,
    integration_status,
    next_step_panel,
    overview,
    progress_column,
    replay_impact,
)
