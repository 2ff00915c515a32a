"""The attempts of this process, written to local disk before and after each, so that a kill loses none.

A segment is a file of whole lines: `+` and an Opened before an attempt is sent, `-` and a Finished after it ended.
Its writer holds a flock on it for as long as it lives; a segment that can be locked has all its lines. Segments are
named `<writer>-<number>.journal`. When one is full the writer repeats what is still open in the next, so an open
without a close counts as an orphan only in the last segment of a writer that is gone.
"""

import fcntl
import logging
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

SUFFIX = ".journal"
SEGMENT_BYTES = 8 * 1024 * 1024
SPOOL_BYTES = 256 * 1024 * 1024  # of all writers together; about 200,000 attempts that the database has not taken yet
SYNC_SECONDS = 1.0
NO_KEY = str(uuid.UUID(int=0))  # stands for the provider key of a request that none was tried for


class JournalError(Exception):
    """The journal takes no more records, so no attempt may start. Says why without naming paths."""


class Skipped(msgspec.Struct, frozen=True):
    """A provider key that the plan left out. `why` is one of keys.routing.Why; `reason` continues a sentence after the name."""

    key_id: str
    name: str
    provider: str
    why: str
    reason: str


class Opened(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known before an attempt is sent. Ids are UUID text, `started_at` is seconds since the epoch.

    mark: one of keys.routing.Mark. skipped: told with the first attempt of a request only.
    """

    id: str
    request_id: str
    organization_id: str
    client_key_id: str
    member_id: int | None
    provider_key_id: str
    provider: str
    model: str
    native_model: str
    tier: str
    number: int
    stream: bool
    started_at: float
    input_estimate: int
    output_estimate: int
    mark: str = ""
    skipped: tuple[Skipped, ...] = ()


class Closed(msgspec.Struct, frozen=True, kw_only=True):
    """How the attempt of that id ended. `outcome` is one of usage.models.Outcome."""

    id: str
    outcome: str
    status: int | None
    error_class: str
    first_byte_ms: int | None
    latency_ms: int | None
    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0
    reasoning_tokens: int = 0
    reported_cost_microusd: int | None = None
    estimated: bool = False


class Finished(msgspec.Struct, frozen=True):
    """One whole attempt, as ingest reads it."""

    opened: Opened
    closed: Closed


log = logging.getLogger(__name__)

_encode = msgspec.json.Encoder().encode
_opened = msgspec.json.Decoder(Opened).decode
_finished = msgspec.json.Decoder(Finished).decode


class Journal:
    """The writer of one process. Every call ends in one `os.write`; nothing waits in a buffer of ours."""

    def __init__(self, directory: Path, *, segment_bytes: int = SEGMENT_BYTES, spool_bytes: int = SPOOL_BYTES) -> None:
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._spool_bytes = spool_bytes
        self._writer = uuid.uuid4().hex
        self._number = 0
        self._open: dict[str, Opened] = {}
        self._owed = b""  # closes that a full disk refused
        self._full = False
        self._torn = False
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._descriptor = self._next_segment()
        self._sync_thread = threading.Thread(target=self._sync_often, name="journal-sync", daemon=True)
        self._sync_thread.start()

    def open(self, opened: Opened) -> None:
        """Write down that an attempt starts. JournalError: it must not start."""
        with self._lock:
            self._check_room()
            self._write(self._owed + _open_line(opened))
            self._open[opened.id] = opened
            self._rotate()

    def close(self, *closed: Closed) -> None:
        """Write down how attempts ended, all at once. Never fails: what a full disk refuses is written with the next record."""
        with self._lock:
            lines = b"".join(_close_line(self._open.pop(end.id), end) for end in closed if end.id in self._open)
            try:
                self._write(self._owed + lines)
            except JournalError:
                self._owed += lines

    def refuse(
        self,
        *,
        request_id: str,
        organization_id: str,
        client_key_id: str,
        member_id: int | None,
        model: str,
        stream: bool,
        error_class: str,
        started_at: float,
        skipped: tuple[Skipped, ...] = (),
    ) -> None:
        """Write down a request that no key was tried for. Never fails: where no record fits, this one is left out."""
        opened = Opened(
            id=request_id,
            request_id=request_id,
            organization_id=organization_id,
            client_key_id=client_key_id,
            member_id=member_id,
            provider_key_id=NO_KEY,
            provider="",
            model=model,
            native_model="",
            tier="",
            number=0,
            stream=stream,
            started_at=started_at,
            input_estimate=0,
            output_estimate=0,
            skipped=skipped,
        )
        line = _close_line(opened, _unanswered(request_id, "refused", error_class))
        with self._lock, suppress(JournalError):
            self._check_room()
            self._write(self._owed + line)
            self._rotate()

    def stop(self) -> None:
        """Let go of the segment. What is still open becomes an orphan."""
        self._stopping.set()
        self._sync_thread.join()
        with self._lock:
            os.close(self._descriptor)

    def _check_room(self) -> None:
        self._full = self._full and self._is_full()
        if self._full:
            raise JournalError("The usage journal is full: the database has not taken its records for too long.")

    def _write(self, data: bytes) -> None:
        """All of `data` or JournalError. A line that was cut is ended before the next one, never overwritten."""
        if self._torn:
            data = b"\n" + data
        try:
            written = os.write(self._descriptor, data)
        except OSError as error:
            raise JournalError(f"The usage journal cannot be written: {error.strerror}.") from error
        self._size += written
        self._torn = written < len(data)
        if self._torn:
            raise JournalError("The usage journal cannot be written: the disk is full.")
        self._owed = b""

    def _rotate(self) -> None:
        """Go on in a new segment once this one is full; stay in it if the disk has no room for another."""
        if self._size < self._room:
            return
        finished = self._descriptor
        try:
            self._descriptor = self._next_segment()
        except OSError:
            return
        os.close(finished)

    def _is_full(self) -> bool:
        """Looked at with each new segment, and with each attempt while it is so. Segments being written do not count."""
        return sum(size_of(path) for path in segments(self._directory) if not is_last(path)) > self._spool_bytes

    def _next_segment(self) -> int:
        """A new file, locked and holding what is still open before anyone else can see it under its name."""
        name = f"{self._writer}-{self._number + 1:06}{SUFFIX}"
        hidden = self._directory / f".{name}"
        descriptor = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            carried = b"".join(map(_open_line, self._open.values()))
            if os.write(descriptor, carried) < len(carried):
                raise OSError("the disk is full")
            hidden.rename(self._directory / name)
        except OSError:
            os.close(descriptor)
            hidden.unlink(missing_ok=True)
            raise
        self._number += 1
        self._size = len(carried)
        self._room = max(self._segment_bytes, 2 * len(carried))  # so that many open attempts do not fill each new segment
        self._torn = False
        self._full = self._is_full()
        return descriptor

    def _sync_often(self) -> None:
        """Against loss of power: the disk has what is older than a second. Off the path of requests."""
        synced = -1
        while not self._stopping.wait(SYNC_SECONDS):
            with self._lock:
                size, descriptor = self._size, os.dup(self._descriptor)
            try:
                if size != synced:
                    os.fsync(descriptor)
                    synced = size
            except OSError:
                synced = -1
            finally:
                os.close(descriptor)


def _open_line(opened: Opened) -> bytes:
    return b"+" + _encode(opened) + b"\n"


def _close_line(opened: Opened, closed: Closed) -> bytes:
    return b"-" + _encode(Finished(opened, closed)) + b"\n"


def segments(directory: Path) -> list[Path]:
    """All segments, those of one writer in the order in which they were written."""
    return sorted(path for path in directory.glob(f"*{SUFFIX}") if not path.name.startswith("."))


def size_of(path: Path) -> int:
    """Its bytes; none if it was ingested and deleted meanwhile."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def is_finished(path: Path) -> bool:
    """Whether its writer has let go of it. Ask before reading: what is read afterwards is then all there will be."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def is_last(path: Path) -> bool:
    """Whether its writer began no segment after it. For a finished segment this is settled."""
    writer, number = path.stem.split("-")
    return not path.with_name(f"{writer}-{int(number) + 1:06}{SUFFIX}").exists()


def read(path: Path, offset: int, limit: int) -> tuple[list[Finished], int]:
    """Attempts that ended, from `offset` on and within `limit` bytes, and the offset after the last whole line."""
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read(limit)
    whole = data.rfind(b"\n") + 1
    if not whole and len(data) == limit:
        return read(path, offset, 2 * limit)
    return list(_decoded(data[:whole], b"-", _finished)), offset + whole


def orphans(path: Path) -> list[Finished]:
    """Attempts of a finished last segment whose end was never written: counted at their estimate."""
    data = path.read_bytes()
    data = data[: data.rfind(b"\n") + 1]
    ended = {attempt.opened.id for attempt in _decoded(data, b"-", _finished)}
    return [_interrupted(opened) for opened in _decoded(data, b"+", _opened) if opened.id not in ended]


def _decoded[T](data: bytes, mark: bytes, decode: Callable[[bytes], T]) -> Iterator[T]:
    """Lines of one kind. A line that a crash or a full disk cut is passed over: what it began is told again or is an orphan."""
    for line in data.split(b"\n"):
        if line[:1] == mark:
            try:
                yield decode(line[1:])
            except msgspec.MsgspecError:
                log.warning("Passed over a broken line of %d bytes in the usage journal.", len(line))


def _interrupted(opened: Opened) -> Finished:
    closed = _unanswered(opened.id, "error", "interrupted")
    tokens = {"input_tokens": opened.input_estimate, "output_tokens": opened.output_estimate}
    return Finished(opened, msgspec.structs.replace(closed, estimated=True, **tokens))


def _unanswered(id: str, outcome: str, error_class: str) -> Closed:
    return Closed(id=id, outcome=outcome, status=None, error_class=error_class, first_byte_ms=None, latency_ms=None)
