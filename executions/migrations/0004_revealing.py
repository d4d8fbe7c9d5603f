from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('executions', '0003_days_by_key'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='delivery',
            options={'permissions': [('reread_delivery', 'Can read a delivery again'), ('reveal_delivery', "Can see a delivery's body as it came")], 'verbose_name_plural': 'deliveries'},
        ),
    ]
