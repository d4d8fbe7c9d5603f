from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("rewards", "0003_seconding")]
    operations = [
        migrations.RemoveIndex(model_name="assignment", name="assignment_by_customer"),
        migrations.AlterField(
            model_name="assignment",
            name="customer",
            field=models.CharField(blank=True, db_collation="C", max_length=200),
        ),
        migrations.AddIndex(
            model_name="assignment",
            index=models.Index(fields=["customer", "-id"], name="assignment_by_customer"),
        ),
    ]
