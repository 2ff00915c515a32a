from django.apps import apps as installed
from django.contrib.auth.management import create_permissions
from django.db import migrations

GRANTED = {
    "Member": ["view_routingpreference"],
    "Owner": ["view_routingpreference", "change_routingpreference", "change_clientkey"],
}


def fill_roles(apps, schema_editor):
    """Everybody may read how requests are routed. Permissions are made here because migrations run before `post_migrate`."""
    create_permissions(installed.get_app_config("keys"), verbosity=0, using=schema_editor.connection.alias, apps=apps)
    Permission = apps.get_model("auth", "Permission")
    for role, codenames in GRANTED.items():
        granted = Permission.objects.filter(content_type__app_label="keys", codename__in=codenames)
        apps.get_model("auth", "Group").objects.get(name=role).permissions.add(*granted)


class Migration(migrations.Migration):

    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("keys", "0002_routing"),
        ("usage", "0004_walk"),
    ]

    operations = [migrations.RunPython(fill_roles, migrations.RunPython.noop)]
