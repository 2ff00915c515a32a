"""Seals second factors that people set up in the version before, which kept them in clear."""

from django.db import migrations

from keys.data_keys import seal_second_factor

CLEAR_PART = {"totp": "secret", "recovery_codes": "seed"}


def seal(apps, schema_editor):
    Authenticator = apps.get_model("mfa", "Authenticator")
    for row in Authenticator.objects.filter(type__in=CLEAR_PART).iterator():
        part = CLEAR_PART[row.type]
        if ":" not in row.data[part]:  # which what is sealed has, and neither base32 nor hexadecimal digits do
            row.data = row.data | {part: seal_second_factor(row.data[part])}
            row.save(update_fields=["data"])


class Migration(migrations.Migration):
    dependencies = [("keys", "0008_openings"), ("mfa", "0003_authenticator_type_uniq")]

    operations = [migrations.RunPython(seal, migrations.RunPython.noop)]
