"""What tells a step of the database's clock: which machine asked for a call, and when."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("promoportal", "0013_days_by_key")]
    operations = [
        migrations.AddField(
            "allowance", "asked_at", models.DateTimeField(null=True)
        ),
        migrations.AddField(
            "allowance", "machines", models.JSONField(db_default={}, default=dict)
        ),
    ]
