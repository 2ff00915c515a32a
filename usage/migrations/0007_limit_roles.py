from django.apps import apps as installed
from django.contrib.auth.management import create_permissions
from django.db import migrations

OWNERS = {
    "usage": ["limit", "budget", "keyprice", "invoice"],
    "orgs": ["webhook"],
}
GRANTED = {
    "Member": ["usage.view_limit", "usage.view_budget", "keys.issue_own_clientkey"],
    "Owner": [
        "keys.issue_own_clientkey",
        "usage.view_everybody",
        *(f"{app}.{may}_{model}" for app, models in OWNERS.items() for model in models for may in ("view", "change")),
    ],
}


def fill_roles(apps, schema_editor):
    """Permissions are made here because migrations run before `post_migrate`."""
    for label in ("orgs", "keys", "usage"):
        create_permissions(installed.get_app_config(label), verbosity=0, using=schema_editor.connection.alias, apps=apps)
    Permission = apps.get_model("auth", "Permission")
    for role, names in GRANTED.items():
        group = apps.get_model("auth", "Group").objects.get(name=role)
        for name in names:
            label, codename = name.split(".")
            group.permissions.add(Permission.objects.get(content_type__app_label=label, codename=codename))


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("orgs", "0004_limits"),
        ("keys", "0005_limits"),
        ("usage", "0006_limits"),
    ]

    operations = [migrations.RunPython(fill_roles, migrations.RunPython.noop)]
