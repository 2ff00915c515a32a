from django.db import models

from keys.models.provider_keys import ProviderKey


class HealthMark(models.Model):
    """What a key did in one half hour: requests and tests that it answered, that were limited, that failed on it."""

    key = models.ForeignKey(ProviderKey, on_delete=models.CASCADE, related_name="marks", db_index=False)
    slot = models.DateTimeField(db_index=True, help_text="Begin of the half hour.")
    passed = models.BigIntegerField(default=0)
    limited = models.BigIntegerField(default=0)
    failed = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["key", "slot"], name="one_mark_per_half_hour")]

    def __str__(self) -> str:
        return f"{self.slot} {self.passed}/{self.limited}/{self.failed}"
