"""The journal on disk: what was written is there, whatever happens to the writer."""

import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from orgs.models import Organization
from tests.attempts import attempt
from usage import journal
from usage.journal import NO_KEY, Finished, Journal, JournalError, Skipped

ACME = Organization(name="Acme", slug="acme")
SKIPPED = (Skipped("0199", "“Größe”\n", "openai", "health", "is rate limited until 12:00:00 UTC"),)
WRITER = """
import sys
from pathlib import Path
import msgspec
from usage.journal import Finished, Journal
book = Journal(Path(sys.argv[1]), segment_bytes=int(sys.argv[2]))
for line in sys.stdin.buffer:
    attempt = msgspec.json.decode(line, type=Finished)
    book.open(attempt.opened)
    print("opened", attempt.opened.id, flush=True)
    if attempt.closed.outcome != "error":
        book.close(attempt.closed)
        print("closed", attempt.opened.id, flush=True)
"""


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Journal]:
    writer = Journal(tmp_path / "journal")
    yield writer
    writer.stop()


def write(writer: Journal, *attempts: Finished) -> None:
    for each in attempts:
        writer.open(each.opened)
        writer.close(each.closed)


def read_all(directory: Path) -> list[Finished]:
    return [each for path in journal.segments(directory) for each in journal.read(path, 0, 2**20)[0]]


def only(directory: Path) -> Path:
    [path] = journal.segments(directory)
    return path


@contextmanager
def disk_of(bytes_free: int, path: Path) -> Iterator[None]:
    """A disk on which that file can grow by so many bytes only."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + bytes_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_an_attempt_is_read_as_it_was_written(book: Journal, tmp_path: Path) -> None:
    done = attempt(ACME, model="openai/gpt-4o \n\r\x0b\x00 “模型”", reported_cost_microusd=7)
    write(book, done)
    assert read_all(tmp_path / "journal") == [done]


def test_why_keys_were_tried_or_skipped_is_read_as_it_was_written(book: Journal, tmp_path: Path) -> None:
    done = attempt(ACME, mark="probe", skipped=SKIPPED)
    write(book, done)
    assert read_all(tmp_path / "journal") == [done]


def test_lines_of_before_there_were_reasons_are_read(book: Journal, tmp_path: Path) -> None:
    write(book, attempt(ACME))
    [read] = read_all(tmp_path / "journal")
    assert b"skipped" not in only(tmp_path / "journal").read_bytes()
    assert (read.opened.mark, read.opened.skipped) == ("", ())


def refuse(writer: Journal, request_id: str, **facts: object) -> None:
    who = {"organization_id": str(ACME.id), "client_key_id": NO_KEY, "member_id": None}
    what = {"model": "openai/gpt-4o", "stream": False, "error_class": "no_working_key", "started_at": 1.5}
    writer.refuse(request_id=request_id, **who, **what, **facts)  # type: ignore[arg-type]


def test_a_request_that_no_key_was_tried_for_is_one_whole_record(book: Journal, tmp_path: Path) -> None:
    request_id = str(uuid4())
    refuse(book, request_id, skipped=SKIPPED)
    [read] = read_all(tmp_path / "journal")
    assert (read.opened.id, read.opened.request_id, read.closed.id) == (request_id,) * 3
    assert (read.opened.provider_key_id, read.opened.provider, read.opened.number) == (NO_KEY, "", 0)
    assert (read.closed.outcome, read.closed.error_class, read.opened.skipped) == ("refused", "no_working_key", SKIPPED)
    assert journal.orphans(only(tmp_path / "journal")) == []


def test_a_refusal_fills_segments_and_is_left_out_where_none_fits(tmp_path: Path) -> None:
    writer = Journal(tmp_path, segment_bytes=3000, spool_bytes=10_000)
    for _ in range(100):
        refuse(writer, str(uuid4()))
    assert 3 < len(journal.segments(tmp_path)) < 8
    written = len(read_all(tmp_path))
    with disk_of(0, journal.segments(tmp_path)[-1]):
        refuse(writer, str(uuid4()))
    assert len(read_all(tmp_path)) == written
    writer.stop()


def test_nobody_else_may_read_it(book: Journal, tmp_path: Path) -> None:
    assert (tmp_path / "journal").stat().st_mode & 0o777 == 0o700
    assert only(tmp_path / "journal").stat().st_mode & 0o777 == 0o600


def test_a_segment_is_finished_once_its_writer_lets_go(tmp_path: Path) -> None:
    writer = Journal(tmp_path)
    assert not journal.is_finished(only(tmp_path))
    writer.stop()
    assert journal.is_finished(only(tmp_path))


def test_several_ends_come_in_one_write_and_each_counts_once(book: Journal, tmp_path: Path) -> None:
    first, second = attempt(ACME, number=1, outcome="absorbed"), attempt(ACME, number=2)
    book.open(first.opened)
    book.open(second.opened)
    book.close(first.closed, second.closed)
    book.close(first.closed)
    assert read_all(tmp_path / "journal") == [first, second]


def test_reading_goes_on_where_it_ended(book: Journal, tmp_path: Path) -> None:
    done = [attempt(ACME) for _ in range(20)]
    write(book, *done)
    found, offset = [], 0
    path = only(tmp_path / "journal")
    while offset < path.stat().st_size:
        some, offset = journal.read(path, offset, 3000)
        found += some
    assert found == done


def test_a_line_longer_than_a_read_is_read(book: Journal, tmp_path: Path) -> None:
    done = attempt(ACME, model="m" * 5000)
    write(book, done)
    offset = len((only(tmp_path / "journal")).read_bytes().partition(b"\n")[0]) + 1
    assert journal.read(only(tmp_path / "journal"), offset, 100)[0] == [done]


def test_a_torn_last_line_waits_and_then_is_passed_over(tmp_path: Path) -> None:
    writer = Journal(tmp_path)
    done = attempt(ACME)
    write(writer, done)
    writer.stop()
    path = only(tmp_path)
    whole = path.stat().st_size
    with path.open("ab") as file:
        file.write(b'-{"opened":{"id":"0199')
    assert journal.read(path, 0, 2**20) == ([done], whole)
    assert journal.orphans(path) == []


def test_garbage_between_lines_costs_only_itself(tmp_path: Path) -> None:
    writer = Journal(tmp_path)
    first, second = attempt(ACME), attempt(ACME)
    write(writer, first)
    with only(tmp_path).open("ab") as file:
        file.write(b"\0" * 512 + b"\n-{}\n-\xff\n\n")
    write(writer, second)
    writer.stop()
    assert read_all(tmp_path) == [first, second]


def test_what_is_open_moves_on_when_a_segment_is_full(tmp_path: Path) -> None:
    writer = Journal(tmp_path, segment_bytes=4000)
    long = attempt(ACME)
    writer.open(long.opened)
    write(writer, *[attempt(ACME) for _ in range(20)])
    writer.close(long.closed)
    segments = journal.segments(tmp_path)
    assert len(segments) > 2
    assert [journal.is_last(path) for path in segments] == [False] * (len(segments) - 1) + [True]
    assert [journal.is_finished(path) for path in segments] == [True] * (len(segments) - 1) + [False]
    assert len(read_all(tmp_path)) == 21
    writer.stop()
    assert journal.orphans(segments[-1]) == []


def test_a_full_disk_lets_no_attempt_start(book: Journal, tmp_path: Path) -> None:
    path = only(tmp_path / "journal")
    with disk_of(0, path), pytest.raises(JournalError, match=r"^The usage journal cannot be written: "):
        book.open(attempt(ACME).opened)
    with disk_of(100, path), pytest.raises(JournalError):
        book.open(attempt(ACME).opened)
    done = attempt(ACME)
    write(book, done)
    assert read_all(tmp_path / "journal") == [done]


def test_an_end_that_a_full_disk_refused_is_written_with_the_next_record(book: Journal, tmp_path: Path) -> None:
    first, second = attempt(ACME), attempt(ACME)
    book.open(first.opened)
    with disk_of(100, only(tmp_path / "journal")):
        book.close(first.closed)
        with pytest.raises(JournalError):
            book.open(second.opened)
    write(book, second)
    assert read_all(tmp_path / "journal") == [first, second]


def test_a_journal_that_nobody_empties_lets_no_attempt_start(tmp_path: Path) -> None:
    writer = Journal(tmp_path, segment_bytes=3000, spool_bytes=10_000)
    with pytest.raises(JournalError, match="is full"):
        write(writer, *[attempt(ACME) for _ in range(100)])
    for path in journal.segments(tmp_path)[:-1]:
        path.unlink()
    write(writer, attempt(ACME))
    writer.stop()


@pytest.mark.parametrize("after", [1, 2, 7, 40, 111])
@pytest.mark.parametrize("segment_bytes", [3000, journal.SEGMENT_BYTES])
def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path, after: int, segment_bytes: int) -> None:
    done = [attempt(ACME, outcome="error" if number % 5 == 0 else "ok") for number in range(200)]
    opened, closed = kill_after(tmp_path, after, segment_bytes, done)
    ended = {each.opened.id for each in read_all(tmp_path)}
    last = journal.segments(tmp_path)[-1]
    left = {each.opened.id for each in journal.orphans(last)}
    assert closed <= ended
    assert opened - ended <= left
    assert not left & ended
    assert journal.is_finished(last)
    assert journal.is_last(last)


def kill_after(directory: Path, lines: int, segment_bytes: int, attempts: list[Finished]) -> tuple[set[str], set[str]]:
    """Ids that a writer in another process had opened and closed when it was killed, as far as it could still tell."""
    command = [sys.executable, "-c", WRITER, str(directory), str(segment_bytes)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parent.parent) as writer:
        assert writer.stdin
        assert writer.stdout
        writer.stdin.write(b"".join(journal._encode(each) + b"\n" for each in attempts))
        writer.stdin.flush()
        told = [writer.stdout.readline() for _ in range(lines)]
        writer.kill()
        told += writer.stdout.readlines()
    words = [line.decode().split() for line in told if line.endswith(b"\n")]
    assert len(words) >= lines
    return {id for word, id in words if word == "opened"}, {id for word, id in words if word == "closed"}


def test_an_orphan_is_counted_at_its_estimate(tmp_path: Path) -> None:
    writer = Journal(tmp_path)
    lost = attempt(ACME, input_estimate=11, output_estimate=222)
    writer.open(lost.opened)
    writer.stop()
    [orphan] = journal.orphans(only(tmp_path))
    assert orphan.opened == lost.opened
    assert (orphan.closed.outcome, orphan.closed.error_class, orphan.closed.estimated) == ("error", "interrupted", True)
    assert (orphan.closed.input_tokens, orphan.closed.output_tokens, orphan.closed.latency_ms) == (11, 222, None)


def test_an_id_that_was_never_opened_is_no_end(book: Journal, tmp_path: Path) -> None:
    book.close(attempt(ACME, id=str(uuid4())).closed)
    assert read_all(tmp_path / "journal") == []
