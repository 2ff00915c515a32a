"""What tests had found before health was kept: such keys are tried by the next request, as they were until now."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.models.functions import Now


def try_again(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    keys = apps.get_model("keys", "ProviderKey").objects.filter(until=None, error_class="")
    keys.filter(status="limited").update(error_class="limited", until=Now())
    keys.filter(status="failing").update(error_class="refused", until=Now())


class Migration(migrations.Migration):
    dependencies = [("keys", "0003_old_marks")]
    operations = [migrations.RunPython(try_again, migrations.RunPython.noop, elidable=True)]
