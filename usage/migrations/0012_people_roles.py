from django.apps import apps as installed
from django.contrib.auth.management import create_permissions
from django.db import migrations

GRANTED = {
    "Member": ["orgs.view_membership"],
    "Auditor": [
        "orgs.view_organization",
        "orgs.view_membership",
        "orgs.view_auditevent",
        "keys.view_providerkey",
        "keys.view_clientkey",
        "usage.view_usageevent",
        "usage.view_everybody",
        "usage.view_limit",
        "usage.view_budget",
    ],
    "Owner": [
        "orgs.view_membership",
        "orgs.change_membership",
        "orgs.delete_membership",
        "orgs.add_invitation",
        "orgs.delete_invitation",
        "orgs.view_auditevent",
        "orgs.delete_organization",
        "orgs.view_identityprovider",
        "orgs.change_identityprovider",
        "orgs.add_supportgrant",
        "keys.view_managementkey",
        "keys.add_managementkey",
        "keys.delete_managementkey",
    ],
    "Support": [  # of staff, in the staff console; these hold in no organization
        "orgs.view_user",
        "orgs.view_organization",
        "orgs.view_membership",
        "orgs.view_invitation",
        "orgs.view_auditevent",
        "keys.view_providerkey",
        "keys.view_clientkey",
        "usage.view_usageevent",
    ],
}


def fill_roles(apps, schema_editor):
    """Permissions are made here because migrations run before `post_migrate`."""
    for label in ("orgs", "keys", "usage"):
        create_permissions(installed.get_app_config(label), verbosity=0, using=schema_editor.connection.alias, apps=apps)
    Permission = apps.get_model("auth", "Permission")
    for role, names in GRANTED.items():
        group, _ = apps.get_model("auth", "Group").objects.get_or_create(name=role)
        for name in names:
            label, codename = name.split(".")
            group.permissions.add(Permission.objects.get(content_type__app_label=label, codename=codename))


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("orgs", "0007_people"),
        ("keys", "0007_management_keys"),
        ("usage", "0011_lent_daily"),
    ]

    operations = [migrations.RunPython(fill_roles, migrations.RunPython.noop)]
