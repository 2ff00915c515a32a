from django.db import models

from orgs.models import Organization


class DataKey(models.Model):
    """One organization's data key, wrapped by a key of the ring. Highest version seals; all versions open."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="data_keys")
    version = models.PositiveIntegerField()
    kek_id = models.CharField(max_length=40)
    wrapped = models.BinaryField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organization", "version"], name="one_data_key_per_version")]

    def __str__(self) -> str:
        return f"data key {self.version} of {self.organization_id}"
