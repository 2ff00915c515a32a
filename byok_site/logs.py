"""The last thing before the log: what looks like a key or a link that works once is masked, whoever wrote it there."""

import logging
import re

from keys.client_keys import MANAGEMENT, PREFIX
from keys.providers import PROVIDERS

STARTS = {PREFIX, MANAGEMENT, *(start for provider in PROVIDERS.values() for start in provider.prefixes)}
KEY = rf"(?<![\w-])({'|'.join(re.escape(start) for start in sorted(STARTS, key=len, reverse=True))})[\w.+/=-]{{7,}}[\w/=-]"
HEADER = r"(?i)\b(bearer |basic |(?:x-goog-)?api[-_]?key\W{1,4})[\w.+/=~-]{15,}[\w/=-]"
LINK = r"(/(?:setup|invite|reset|account/email)/)[^\s/'\"]{16,}"
PRIVATE_KEY = r"(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(?:-----END|\Z)"
MASKED = [re.compile(pattern, flags=re.DOTALL) for pattern in (PRIVATE_KEY, HEADER, KEY, LINK)]


def mask(text: str) -> str:
    """What stands before a secret stays, so that one sees of which kind it was."""
    for pattern in MASKED:
        text = pattern.sub(r"\1…", text)
    return text


class MaskedLine(logging.Formatter):
    """Of the whole entry, the traceback and what an error says of itself included."""

    def format(self, record: logging.LogRecord) -> str:
        return mask(super().format(record))
