from keys.providers import PROVIDERS


def provider_choices() -> list[tuple[str, str]]:
    """A function, so that a new provider needs no migration."""
    return [(row.slug, row.label) for row in PROVIDERS.values()]
