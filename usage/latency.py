"""The histogram of latencies: counts in steps add up over any rows, and percentiles are read from the sum."""

from bisect import bisect_left
from collections.abc import Sequence

BOUNDS = (100, 200, 400, 700, 1000, 1500, 2000, 3000, 5000, 8000, 12000, 20000, 40000)  # milliseconds, each step's end
COLUMNS = (*(f"latency_{bound}" for bound in BOUNDS), "latency_more")


def column(latency_ms: int) -> str:
    """The step in which an answer of that latency is counted."""
    return COLUMNS[bisect_left(BOUNDS, latency_ms)]


def percentile(counts: Sequence[int], q: float) -> int | None:
    """Milliseconds below which the share `q` of answers lies, evenly spread within a step; None without answers.

    `counts` is in the order of COLUMNS. The last step has no end, so its start is returned.
    """
    rank, before, start = q * sum(counts), 0, 0
    for count, bound in zip(counts, BOUNDS, strict=False):
        if count and before + count >= rank:
            return round(start + (bound - start) * (rank - before) / count)
        before, start = before + count, bound
    return BOUNDS[-1] if any(counts) else None
