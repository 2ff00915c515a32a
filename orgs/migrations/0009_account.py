from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("orgs", "0008_single_sign_on")]

    operations = [
        migrations.AddField(
            model_name="user",
            name="session_version",
            field=models.PositiveIntegerField(default=1, editable=False, help_text="Sessions of earlier versions are over."),
        ),
    ]
