"""
The log of who did what, found by row, by person and by day: Django's own has no index
for them, and half a million deeds are done by one press after the other.
"""

from __future__ import annotations

from django.conf import settings
from django.db import migrations

MAKE = """
    CREATE INDEX deed_by_row ON django_admin_log (object_id, (id * -1));
    CREATE INDEX deed_by_person ON django_admin_log (user_id, action_time);
    CREATE INDEX deed_by_day ON django_admin_log
        USING brin (action_time) WITH (pages_per_range = 8, autosummarize = on);
"""
DROP = "DROP INDEX deed_by_row; DROP INDEX deed_by_person; DROP INDEX deed_by_day"


class Migration(migrations.Migration):
    dependencies = [
        ("promoportal", "0008_gap"),
        ("admin", "0003_logentry_add_action_flag_choices"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations = [migrations.RunSQL(MAKE, DROP)]
