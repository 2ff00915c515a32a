"""Where each chain ended, kept outside the database: whoever can write there can shorten a chain, and not unnoticed.

One line a day in DATA_DIR/audit-heads.jsonl, with the heads that have moved since the line before. The digest of each line is
logged, so that the file itself can be checked against a log that is kept elsewhere.
"""

import hashlib
import json
import logging
from collections import defaultdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from django.conf import settings

from orgs.models import AuditHead

log = logging.getLogger(__name__)


class Written(NamedTuple):
    """A head as it was written down."""

    number: int
    mac: bytes
    at: str


def path() -> Path:
    return Path(settings.DATA_DIR) / "audit-heads.jsonl"


def write_heads(now: datetime) -> None:
    """A part of the tick: does something once a day."""
    if written_on(path()) == now.astimezone(UTC).date():
        return
    known = {organization: heads[-1] for organization, heads in read_heads()[0].items()}
    heads = {head.organization_id: (head.number, bytes(head.mac)) for head in AuditHead.objects.order_by("pk")}
    moved = {each: head for each, head in heads.items() if each not in known or known[each][:2] != head}
    said = {str(each): [number, mac.hex()] for each, (number, mac) in moved.items()}
    line = json.dumps({"at": now.isoformat(timespec="seconds"), "heads": said})
    with path().open("a") as file:
        file.write(f"{line}\n")
    log.info("Audit heads of %s: %d moved, SHA-256 %s", now.date(), len(moved), hashlib.sha256(line.encode()).hexdigest())


def written_on(file: Path) -> date | None:
    """The day of the last line."""
    return datetime.fromtimestamp(file.stat().st_mtime, UTC).date() if file.exists() else None


def read_heads() -> tuple[dict[UUID, list[Written]], list[int]]:
    """What was written down of each organization, the earliest first; and the numbers of lines that cannot be read."""
    found: dict[UUID, list[Written]] = defaultdict(list)
    unreadable = []
    for number, line in enumerate(path().read_text().splitlines() if path().exists() else (), 1):
        try:
            said = json.loads(line)
            heads = {
                UUID(each): Written(int(count), bytes.fromhex(mac), said["at"]) for each, (count, mac) in said["heads"].items()
            }
        except (ValueError, KeyError, TypeError, AttributeError):
            unreadable.append(number)
            continue
        for organization, head in heads.items():
            found[organization].append(head)
    return found, unreadable
