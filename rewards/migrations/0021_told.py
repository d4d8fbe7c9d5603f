from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models

NEWEST = -models.F('id')


class Migration(migrations.Migration):
    # PostgreSQL builds an index without blocking writes only outside a transaction.
    atomic = False

    dependencies = [
        ('rewards', '0020_decided_as_seen'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='assignment',
            index=models.Index(NEWEST, condition=models.Q(('cancelled_too_late', True), ('told_at', None)), name='assignment_late_untold'),
        ),
    ]
