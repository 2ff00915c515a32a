from datetime import date

from django.db import migrations, models

ALWAYS = date(2000, 1, 1)  # prices that were set before they had a day go on counting


class Migration(migrations.Migration):
    dependencies = [("usage", "0009_partitions")]

    operations = [
        migrations.RemoveConstraint(model_name="modelprice", name="one_price_per_model"),
        migrations.AddField(
            model_name="modelprice",
            name="from_day",
            field=models.DateField(default=ALWAYS, help_text="Of the organization's time zone."),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="modelprice",
            name="provider_key_id",
            field=models.UUIDField(null=True, help_text="Of one key; else of every key of the provider."),
        ),
        migrations.AddField(
            model_name="modelprice",
            name="cached_input_microusd",
            field=models.BigIntegerField(null=True, help_text="As input, where nothing is said."),
        ),
        migrations.AddConstraint(
            model_name="modelprice",
            constraint=models.UniqueConstraint(
                fields=("organization", "provider", "model", "from_day"),
                condition=models.Q(("provider_key_id", None)),
                name="one_model_price_per_day",
            ),
        ),
        migrations.AddConstraint(
            model_name="modelprice",
            constraint=models.UniqueConstraint(
                fields=("organization", "provider", "model", "provider_key_id", "from_day"),
                condition=models.Q(("provider_key_id__isnull", False)),
                name="one_model_price_per_key_and_day",
            ),
        ),
    ]
