from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("promoportal", "0003_breaker")]
    operations = [
        migrations.AddField(
            model_name="breaker",
            name="pauses",
            field=models.PositiveSmallIntegerField(default=0),
        ),
    ]
