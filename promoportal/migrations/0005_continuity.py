from __future__ import annotations

from django.db import migrations, models
from django.db.models.functions import Now


class Migration(migrations.Migration):
    dependencies = [("promoportal", "0004_breaker_pauses")]
    operations = [
        migrations.CreateModel(
            name="Continuity",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("database", models.CharField(max_length=200)),
                ("seen_at", models.DateTimeField(db_default=Now())),
                ("gap_since", models.DateTimeField(null=True)),
                ("gap_until", models.DateTimeField(null=True)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("pk", 1)), name="continuity_is_one_row"),
                ],
            },
        ),
    ]
