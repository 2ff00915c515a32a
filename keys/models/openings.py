from django.db import models

from orgs.models import Organization


class Opening(models.Model):
    """How often secrets of an organization were opened in an hour, and what for. Told to its audit log once the hour is over."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    hour = models.DateTimeField(db_index=True)
    purpose = models.CharField(max_length=20)
    count = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organization", "hour", "purpose"], name="one_opening_per_purpose")]

    def __str__(self) -> str:
        return f"{self.organization}, {self.purpose}: {self.count}"
