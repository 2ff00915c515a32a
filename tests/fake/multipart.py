"""Reads multipart/form-data strictly: a body that was cut, padded or re-encoded on its way is refused."""

from email.message import EmailMessage
from email.parser import BytesHeaderParser
from email.policy import HTTP


class BrokenForm(ValueError):
    """The body is not a whole form."""


def read_form(content_type: str, body: bytes) -> dict[str, bytes]:
    """The values of a form by their names. Raises BrokenForm."""
    head = EmailMessage(HTTP)
    head["content-type"] = content_type
    boundary = head.get_boundary()
    if head.get_content_type() != "multipart/form-data" or not boundary:
        raise BrokenForm("no boundary")
    first, *parts, end = (b"\r\n" + body).split(b"\r\n--" + boundary.encode())
    if first or end.rstrip(b"\r\n") != b"--" or not parts:
        raise BrokenForm("it does not begin or end with its boundary")
    return dict(map(read_part, parts))


def read_part(part: bytes) -> tuple[str, bytes]:
    head, separator, value = part.partition(b"\r\n\r\n")
    headers = BytesHeaderParser(policy=HTTP).parsebytes(head.lstrip() + b"\r\n\r\n")
    disposition = headers["content-disposition"]
    name = disposition and disposition.params.get("name")
    if not separator or not name:
        raise BrokenForm("a part has no name")
    return name, value
