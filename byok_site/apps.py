from django.apps import AppConfig


class SiteConfig(AppConfig):
    name = "byok_site"
    verbose_name = "Keyhold"
