from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("orgs", "0004_limits")]

    operations = [
        # No webhook was there to hand on what is there already.
        migrations.AddField("notice", "handed_on", models.BooleanField(default=True)),
        migrations.AlterField("notice", "handed_on", models.BooleanField(default=False, help_text="To the webhooks there were.")),
        migrations.AddIndex(
            "notice",
            models.Index(condition=models.Q(("handed_on", False)), fields=["created_at"], name="notices_to_hand_on"),
        ),
        migrations.AddIndex("notice", models.Index(fields=["organization", "-created_at"], name="notices_by_org")),
        migrations.AddIndex("delivery", models.Index(fields=["webhook", "-created_at"], name="deliveries_by_webhook")),
    ]
