from __future__ import annotations

from django.db import migrations, models
from django.db.models.functions import Now

KEEP = """
    INSERT INTO promoportal_gap (since, until)
    SELECT gap_since, gap_until FROM promoportal_continuity WHERE gap_since IS NOT NULL
"""


class Migration(migrations.Migration):
    dependencies = [("promoportal", "0007_counting")]
    operations = [
        migrations.CreateModel(
            name="Gap",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("since", models.DateTimeField()),
                ("until", models.DateTimeField(db_default=Now())),
            ],
        ),
        migrations.RunSQL(KEEP, migrations.RunSQL.noop),
        migrations.RemoveField("continuity", "gap_since"),
        migrations.RemoveField("continuity", "gap_until"),
    ]
