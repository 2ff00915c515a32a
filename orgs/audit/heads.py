"""Where each chain ended, kept outside the database: whoever can write there can shorten a chain, and not unnoticed.

One line a day in DATA_DIR/audit-heads.jsonl, with the heads that have moved since the line before; and one whenever an
organization is erased, so that one that is gone otherwise is missed. Lines are chained by HMAC, and the digest of each is
logged, so that the file itself can be checked against a log that is kept elsewhere.
"""

import fcntl
import hashlib
import hmac
import json
import logging
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings

from orgs.audit.chain import derived, secrets
from orgs.models import AuditHead

PURPOSE = b"heads"  # no organization has an id as short as this

log = logging.getLogger(__name__)


class Written(NamedTuple):
    """A head as it was written down."""

    number: int
    mac: bytes
    at: str


@dataclass
class Kept:
    """What a file tells: of each organization its heads, the earliest first, and which are erased. at: of the last line."""

    heads: dict[UUID, list[Written]] = field(default_factory=lambda: defaultdict(list))
    erased: set[UUID] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)
    at: datetime | None = None
    mac: str | None = ""


def path() -> Path:
    return Path(settings.DATA_DIR) / "audit-heads.jsonl"


def write_heads(now: datetime) -> None:
    """A part of the tick: does something once a day."""
    if written_on(path()) != now.astimezone(UTC).date():
        add_line(now)


def note_erased(organization_id: UUID, now: datetime) -> None:
    """Before the organization goes for good."""
    add_line(now, [organization_id])


def add_line(now: datetime, erased: Iterable[UUID] = ()) -> None:
    """One writer at a time, as each line is chained to the one before."""
    with path().open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        kept = read_heads(path())
        known = {organization: heads[-1][:2] for organization, heads in kept.heads.items()}
        heads = {head.organization_id: (head.number, bytes(head.mac)) for head in AuditHead.objects.order_by("pk")}
        moved = {str(each): [head[0], head[1].hex()] for each, head in heads.items() if known.get(each) != head}
        said = {"at": now.isoformat(timespec="seconds"), "heads": moved, "erased": [str(each) for each in erased]}
        line = json.dumps(said | {"mac": signed(said, kept.mac or "", settings.AUDIT_KEY)})
        file.write(f"{line}\n")
    log.info("Audit heads of %s: %d moved, SHA-256 %s", now.date(), len(moved), hashlib.sha256(line.encode()).hexdigest())


def signed(said: dict[str, Any], before: str, secret: str) -> str:
    return hmac.new(derived(secret, PURPOSE), f"{before}{json.dumps(said)}".encode(), hashlib.sha256).hexdigest()


def written_on(file: Path) -> date | None:
    """The day of the last line."""
    return datetime.fromtimestamp(file.stat().st_mtime, UTC).date() if file.exists() else None


def read_heads(file: Path) -> Kept:
    kept = Kept()
    for number, line in enumerate(file.read_text(errors="replace").splitlines() if file.exists() else (), 1):
        try:
            read_line(json.loads(line), number, kept)
        except (ValueError, KeyError, TypeError, AttributeError):
            kept.problems.append(f"line {number} cannot be read.")
            kept.mac = None
    return kept


def read_line(said: dict[str, Any], number: int, kept: Kept) -> None:
    """Raises something if it is no line of ours. What follows one that cannot be read is taken as it is."""
    own, at = said.pop("mac"), datetime.fromisoformat(said["at"])
    heads = {UUID(each): Written(int(count), bytes.fromhex(mac), said["at"]) for each, (count, mac) in said["heads"].items()}
    erased = {UUID(each) for each in said["erased"]}
    if kept.mac is not None and own not in [signed(said, kept.mac, secret) for secret in secrets()]:
        kept.problems.append(f"line {number} is not as it was written, or a line before it is missing.")
    for organization, head in heads.items():
        kept.heads[organization].append(head)
    kept.erased |= erased
    kept.at, kept.mac = at, own
