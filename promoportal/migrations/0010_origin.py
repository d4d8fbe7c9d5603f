"""From where a deed was done; and the log found by kind, person and room, newest first."""

import django.db.models.deletion
from django.db import migrations, models

MAKE = """
    CREATE INDEX deed_of_kind ON django_admin_log (action_flag, (id * -1));
    CREATE INDEX deed_of_person ON django_admin_log (user_id, (id * -1));
    CREATE INDEX deed_of_model ON django_admin_log (content_type_id, (id * -1));
"""
DROP = "DROP INDEX deed_of_kind; DROP INDEX deed_of_person; DROP INDEX deed_of_model"


class Migration(migrations.Migration):

    dependencies = [
        ('admin', '0003_logentry_add_action_flag_choices'),
        ('promoportal', '0009_deeds_found'),
    ]

    operations = [
        migrations.CreateModel(
            name='Origin',
            fields=[
                ('entry', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='origin', serialize=False, to='admin.logentry')),
                ('address', models.CharField(max_length=100)),
            ],
        ),
        migrations.RunSQL(MAKE, DROP),
    ]
