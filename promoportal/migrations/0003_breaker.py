from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("promoportal", "0002_allowance")]
    operations = [
        migrations.CreateModel(
            name="Breaker",
            fields=[
                ("side", models.CharField(choices=[("vendor", "Optimove"), ("platform", "Platform")], max_length=20, primary_key=True, serialize=False)),
                ("opened_at", models.DateTimeField(null=True)),
                ("open_until", models.DateTimeField(null=True)),
                ("probing", models.BooleanField(default=False)),
                ("failures", models.PositiveIntegerField(default=0)),
                ("problem", models.TextField(blank=True, default="")),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("side__in", ["vendor", "platform"])), name="breaker_side_is_known"),
                    models.CheckConstraint(
                        condition=models.Q(("opened_at__isnull", True), ("open_until__isnull", False), _connector="OR"),
                        name="breaker_open_has_an_end",
                    ),
                ],
            },
        ),
    ]
