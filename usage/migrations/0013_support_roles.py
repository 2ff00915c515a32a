from django.apps import apps as installed
from django.contrib.auth.management import create_permissions
from django.db import migrations

# Of staff, in the staff console: to open organizations, to help there, and to see when one did.
GRANTED = ["add_supportvisit", "change_supportvisit", "view_supportvisit"]


def fill_roles(apps, schema_editor):
    """Permissions are made here because migrations run before `post_migrate`."""
    create_permissions(installed.get_app_config("orgs"), verbosity=0, using=schema_editor.connection.alias, apps=apps)
    support = apps.get_model("auth", "Group").objects.get(name="Support")
    for name in GRANTED:
        support.permissions.add(apps.get_model("auth", "Permission").objects.get(content_type__app_label="orgs", codename=name))


class Migration(migrations.Migration):
    dependencies = [("usage", "0012_people_roles")]

    operations = [migrations.RunPython(fill_roles, migrations.RunPython.noop)]
