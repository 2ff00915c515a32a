#!/usr/bin/env python3
"""Django's command line. `manage.py help` lists Keyhold's commands under byok_site, keys and orgs."""

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "byok_site.settings")
    execute_from_command_line(sys.argv)
