"""One row, made here and never again: see promoportal/installation.py."""

from __future__ import annotations

from django.db import migrations, models

MAKE = """
    CREATE TABLE promoportal_installation (id uuid PRIMARY KEY);
    CREATE UNIQUE INDEX promoportal_installation_is_one ON promoportal_installation ((true));
    INSERT INTO promoportal_installation (id) VALUES (gen_random_uuid());
"""


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            name="Installation",
            fields=[("id", models.UUIDField(primary_key=True, serialize=False))],
            options={"managed": False, "db_table": "promoportal_installation"},
        ),
        migrations.RunSQL(MAKE, "DROP TABLE promoportal_installation"),
    ]
