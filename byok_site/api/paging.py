"""Lists in pages. A page is asked for by the cursor that came with the one before."""

from collections.abc import Callable
from typing import Annotated, Any
from uuid import UUID

import msgspec
from django.db.models import Model, QuerySet
from msgspec import UNSET, Meta, UnsetType

MOST = 200
type Number = Annotated[int, Meta(ge=1, le=2**63 - 1)]


class ByNumber(msgspec.Struct, forbid_unknown_fields=True):
    limit: Annotated[int, Meta(ge=1, le=MOST)] = 100
    after: Annotated[int, Meta(ge=0, le=2**63 - 1, description="`next` of the page before.")] | UnsetType = UNSET


class ById(msgspec.Struct, forbid_unknown_fields=True):
    limit: Annotated[int, Meta(ge=1, le=MOST)] = 100
    after: Annotated[UUID | UnsetType, Meta(description="`next` of the page before.")] = UNSET


def page[M: Model](
    rows: QuerySet[M], query: ByNumber | ById, show: Callable[[M], Any], *, latest_first: bool = False
) -> dict[str, Any]:
    """`items` and `next`, which is null on the last page."""
    shown, after = cut(rows, query, latest_first=latest_first)
    return {"items": [show(row) for row in shown], "next": after}


def cut[M: Model](rows: QuerySet[M], query: ByNumber | ById, *, latest_first: bool = False) -> tuple[list[M], Any]:
    if query.after is not UNSET:
        rows = rows.filter(pk__lt=query.after) if latest_first else rows.filter(pk__gt=query.after)
    found = list(rows.order_by("-pk" if latest_first else "pk")[: query.limit + 1])
    shown = found[: query.limit]
    return shown, shown[-1].pk if len(found) > query.limit else None
