from django.db import migrations
from django.db.models import F


def give_to_creators(apps, schema_editor):
    """Until now a client key was that of whoever created it."""
    apps.get_model("keys", "ClientKey").objects.filter(owner=None).update(owner=F("created_by"))


class Migration(migrations.Migration):
    dependencies = [("keys", "0005_limits")]

    operations = [migrations.RunPython(give_to_creators, migrations.RunPython.noop)]
