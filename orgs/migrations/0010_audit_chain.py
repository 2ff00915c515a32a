"""Chains the events that are there, for each organization from the oldest on. From then on PostgreSQL keeps them as they are.

An event goes only with its organization: the database cascades, and the trigger sees that the organization is gone. What
says who acted stays when their account is deleted.
"""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

from orgs.audit.chain import link

BATCH = 500
KEEP = """
    CREATE FUNCTION orgs_auditevent_keep() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'DELETE' THEN
            IF NOT EXISTS (SELECT FROM orgs_organization WHERE id = OLD.organization_id) THEN
                RETURN OLD;
            END IF;
        END IF;
        RAISE EXCEPTION 'Audit events are neither changed nor deleted.';
    END $$;
    CREATE TRIGGER keep_events BEFORE UPDATE OR DELETE ON orgs_auditevent
        FOR EACH ROW EXECUTE FUNCTION orgs_auditevent_keep();
    CREATE TRIGGER keep_all BEFORE TRUNCATE ON orgs_auditevent
        FOR EACH STATEMENT EXECUTE FUNCTION orgs_auditevent_keep();
"""
KEEP_NO_MORE = """
    DROP TRIGGER keep_events ON orgs_auditevent;
    DROP TRIGGER keep_all ON orgs_auditevent;
    DROP FUNCTION orgs_auditevent_keep();
"""


def chain(apps, schema_editor):
    Event, Head = apps.get_model("orgs", "AuditEvent"), apps.get_model("orgs", "AuditHead")
    for organization in apps.get_model("orgs", "Organization").objects.all():
        head, rest = Head(organization=organization), Event.objects.filter(organization=organization, number=None)
        while events := list(rest.order_by("at", "pk")[:BATCH]):
            for event in events:
                link(event, head)
            Event.objects.bulk_update(events, ["number", "mac"])
        head.save()


def keep(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(KEEP)


def keep_no_more(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(KEEP_NO_MORE)


class Migration(migrations.Migration):
    dependencies = [("orgs", "0009_account")]

    operations = [
        migrations.AlterField(
            model_name="auditevent",
            name="organization",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.DB_CASCADE, related_name="audit_events", to="orgs.organization"
            ),
        ),
        migrations.AlterField(
            model_name="auditevent",
            name="actor",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.RunPython(chain, migrations.RunPython.noop),
        migrations.AlterField(
            model_name="auditevent",
            name="number",
            field=models.PositiveBigIntegerField(help_text="Its place in the chain, from 1."),
        ),
        migrations.AlterField(
            model_name="auditevent",
            name="mac",
            field=models.BinaryField(help_text="HMAC over this event and the mac before it.", max_length=32),
        ),
        migrations.RunPython(keep, keep_no_more),
    ]
