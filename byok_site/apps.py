from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps


class SiteConfig(AppConfig):
    name = "byok_site"
    verbose_name = "Keyhold"
    default = True


class StaffConsoleConfig(admin_apps.AdminConfig):
    """Named in the settings, in place of Django's own."""

    default_site = "byok_site.console.StaffConsole"
    default = False
