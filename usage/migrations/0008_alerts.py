import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("usage", "0007_limit_roles")]

    operations = [
        migrations.AddField(
            "budget",
            "looked_at",
            models.DateTimeField(
                db_index=True, default=django.utils.timezone.now, help_text="Whether there is something to tell."
            ),
        ),
    ]
