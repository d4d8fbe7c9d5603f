"""Days of the log are found by its keys, and need no index of their own."""

from __future__ import annotations

from django.db import migrations

DROP = "DROP INDEX deed_by_day"
MAKE = """
    CREATE INDEX deed_by_day ON django_admin_log
        USING brin (action_time) WITH (pages_per_range = 8, autosummarize = on)
"""


class Migration(migrations.Migration):
    dependencies = [("promoportal", "0012_saved_filter")]
    operations = [migrations.RunSQL(DROP, MAKE)]
