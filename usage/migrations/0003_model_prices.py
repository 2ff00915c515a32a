import django.db.models.deletion
import django.utils.timezone
import uuid
from django.apps import apps as installed
from django.conf import settings
from django.contrib.auth.management import create_permissions
from django.db import migrations, models

OWNER = ["view_modelprice", "add_modelprice", "change_modelprice", "delete_modelprice"]


def fill_roles(apps, schema_editor):
    """Own prices are the owners' business. Permissions are made here because migrations run before `post_migrate`."""
    create_permissions(installed.get_app_config("usage"), verbosity=0, using=schema_editor.connection.alias, apps=apps)
    Permission = apps.get_model("auth", "Permission")
    granted = Permission.objects.filter(content_type__app_label="usage", codename__in=OWNER)
    apps.get_model("auth", "Group").objects.get(name="Owner").permissions.add(*granted)


class Migration(migrations.Migration):

    dependencies = [
        ('auth', '0012_alter_user_first_name_max_length'),
        ('contenttypes', '0002_remove_content_type_name'),
        ('orgs', '0001_initial'),
        ('usage', '0002_roles'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='ModelPrice',
            fields=[
                ('id', models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('provider', models.CharField(max_length=20)),
                ('model', models.CharField(help_text='As programs ask for it, spelled like all slugs.', max_length=200)),
                ('input_microusd', models.BigIntegerField(help_text='Millionths of a dollar for a million tokens.')),
                ('output_microusd', models.BigIntegerField(help_text='Millionths of a dollar for a million tokens.')),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('created_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('organization', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='model_prices', to='orgs.organization')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('organization', 'provider', 'model'), name='one_price_per_model')],
            },
        ),
        migrations.RunPython(fill_roles, migrations.RunPython.noop),
    ]
