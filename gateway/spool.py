"""A request's body that is kept in a file while it is tried at one provider after another."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from gateway.errors import unavailable

IN_MEMORY = 512 * 1024
PIECE = 64 * 1024


class Spool:
    """What was written can be read again and again. The file has no name, so that nothing is left behind."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.size = 0

    def write(self, piece: bytes) -> None:
        """All of it before the first reading. Raises Refusal when the disk is full."""
        try:
            self._file.write(piece)
        except OSError:
            raise unavailable(
                "no_space", "The gateway has no room for the body. Tell its operator, or try again later."
            ) from None
        self.size += len(piece)

    async def pieces(self, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """What lies between two places. Readings may overlap."""
        end = self.size if end is None else end
        while start < end:
            self._file.seek(start)
            piece = self._file.read(min(PIECE, end - start))
            start += len(piece)
            yield piece


@contextmanager
def spool(folder: Path) -> Iterator[Spool]:
    """Small bodies stay in memory."""
    with tempfile.SpooledTemporaryFile(IN_MEMORY, dir=str(folder)) as file:
        yield Spool(file)
