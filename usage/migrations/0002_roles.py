from django.apps import apps as installed
from django.contrib.auth.management import create_permissions
from django.db import migrations

MEMBER = [
    ("orgs", "view_organization"),
    ("keys", "view_providerkey"),
    ("usage", "view_usageevent"),
]
OWNER = [
    *MEMBER,
    ("orgs", "change_organization"),
    ("keys", "add_providerkey"),
    ("keys", "change_providerkey"),
    ("keys", "delete_providerkey"),
    ("keys", "view_hint"),
    ("keys", "view_clientkey"),
    ("keys", "add_clientkey"),
    ("keys", "delete_clientkey"),
]


def fill_roles(apps, schema_editor):
    """The groups that memberships point to. Permissions are made here because migrations run before `post_migrate`."""
    for label in ("orgs", "keys", "usage"):
        create_permissions(installed.get_app_config(label), verbosity=0, using=schema_editor.connection.alias, apps=apps)
    Group = apps.get_model("auth", "Group")
    Permission = apps.get_model("auth", "Permission")
    for name, granted in (("Owner", OWNER), ("Member", MEMBER)):
        group, _ = Group.objects.get_or_create(name=name)
        group.permissions.add(
            *(Permission.objects.get(content_type__app_label=label, codename=codename) for label, codename in granted)
        )


class Migration(migrations.Migration):

    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("orgs", "0001_initial"),
        ("keys", "0001_initial"),
        ("usage", "0001_initial"),
    ]

    operations = [migrations.RunPython(fill_roles, migrations.RunPython.noop)]
