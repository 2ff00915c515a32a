"""Fetches the images that a chat names by address, for wires that take bytes only."""

import asyncio
import base64
from collections.abc import Mapping

from gateway.errors import Refusal, bad_request
from gateway.wires.values import Media
from keys.egress import Answer, Egress, EgressError, Patience
from keys.providers import Outbound

MOST = 10
LARGEST = 5_000_000
"""Together they bound what one request may bring in, whatever its own size."""
PATIENCE = Patience(first_byte=10.0, idle=10.0, total=20.0)
NO_ANSWER = {
    "refused": "may not be fetched from here",
    "broken": f"could not be fetched whole, or holds more than {LARGEST // 1_000_000} MB",
    "connect": "could not be reached",
    "timeout": "did not answer in time",
}


async def fetch(egress: Egress, addresses: Mapping[str, str]) -> Mapping[str, Media]:
    """Each address with what is there. The values are their places. Raises Refusal naming the one that gives no image."""
    if len(addresses) > MOST:
        message = f"The messages name {len(addresses)} images by address; {MOST} is the most here. Send data: URIs instead."
        raise bad_request(message, param="messages")
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_one(egress, address, place)) for address, place in addresses.items()]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None
    return dict(zip(addresses, (task.result() for task in tasks), strict=True))


async def _one(egress: Egress, address: str, place: str) -> Media:
    try:
        answer = await egress.send(Outbound("GET", address, {"accept": "image/*"}), patience=PATIENCE)
        media_type = image_type(answer)
        if not media_type:
            answer.close()
            raise _refused(address, place, "did not give an image")
        return Media("image", media_type, base64.b64encode(await answer.read(limit=LARGEST)).decode())
    except EgressError as error:
        raise _refused(address, place, NO_ANSWER[error.kind]) from None


def image_type(answer: Answer) -> str:
    """The media type of an image; nothing for any other answer, such as a redirect, which is not followed."""
    media_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    encoded = answer.headers.get("content-encoding", "identity").lower() != "identity"
    return media_type if answer.status == 200 and media_type.startswith("image/") and not encoded else ""


def _refused(address: str, place: str, problem: str) -> Refusal:
    shown = address.partition("?")[0][:200]
    return bad_request(f"{place}: {shown} {problem}. Send the image as a data: URI instead.", param=place)
