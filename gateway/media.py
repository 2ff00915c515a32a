"""Fetches the images that a chat names by address, for wires that take bytes only."""

import asyncio
import base64
from collections.abc import Mapping, Set

from gateway.errors import Refusal, bad_request
from gateway.wires.values import Media
from keys.egress import Egress, EgressError, Patience
from keys.providers import Outbound

MOST = 20
LARGEST = 10 * 1024 * 1024
PATIENCE = Patience(first_byte=10.0, idle=10.0, total=20.0)


async def fetch(egress: Egress, addresses: Set[str]) -> Mapping[str, Media]:
    """Each address with what is there. Raises Refusal naming the address that does not give an image."""
    if len(addresses) > MOST:
        raise bad_request(f"The messages name {len(addresses)} images by address; {MOST} is the most here.", param="messages")
    found = await asyncio.gather(*(_one(egress, address) for address in addresses))
    return dict(zip(addresses, found, strict=True))


async def _one(egress: Egress, address: str) -> Media:
    try:
        answer = await egress.send(Outbound("GET", address, {"accept": "image/*"}), patience=PATIENCE)
        body = await answer.read(limit=LARGEST)
    except EgressError:
        raise _refused(address, f"could not be fetched, or has more than {LARGEST // 1_048_576} MB") from None
    media_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if answer.status != 200 or not media_type.startswith("image/"):
        raise _refused(address, "did not give an image")
    return Media("image", media_type, base64.b64encode(body).decode())


def _refused(address: str, problem: str) -> Refusal:
    shown = address.partition("?")[0][:200]
    return bad_request(f"The image at {shown} {problem}. Send it as a data: URI instead.", param="messages")
