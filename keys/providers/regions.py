"""AWS regions of all partitions, and where Vertex AI lives. A fixed list, for a region becomes part of a host name."""

import difflib
import re

REGIONS = (
    "af-south-1 ap-east-1 ap-east-2 ap-northeast-1 ap-northeast-2 ap-northeast-3 ap-south-1 ap-south-2 "
    "ap-southeast-1 ap-southeast-2 ap-southeast-3 ap-southeast-4 ap-southeast-5 ap-southeast-6 ap-southeast-7 "
    "ca-central-1 ca-west-1 cn-north-1 cn-northwest-1 eu-central-1 eu-central-2 eu-north-1 eu-south-1 eu-south-2 "
    "eu-west-1 eu-west-2 eu-west-3 eusc-de-east-1 il-central-1 me-central-1 me-south-1 mx-central-1 sa-east-1 "
    "us-east-1 us-east-2 us-gov-east-1 us-gov-west-1 us-west-1 us-west-2"
).split()
LOOKS_LIKE_ONE = re.compile(r"[a-z]{2,4}(-[a-z]{2,10}){1,2}-?[0-9]{1,2}[a-z]?", re.IGNORECASE)
DNS_SUFFIXES = {"cn": "amazonaws.com.cn", "eusc": "amazonaws.eu"}

# How Bedrock's inference profiles begin that keep a request in the region's part of the world. The first that fits holds.
GEOGRAPHIES = {
    "us-gov-": ("us-gov",),
    "us-": ("us",),
    "ca-": ("ca", "us"),
    "eu-": ("eu",),
    "ap-northeast-1": ("jp", "apac"),
    "ap-northeast-3": ("jp", "apac"),
    "ap-southeast-2": ("au", "apac"),
    "ap-southeast-4": ("au", "apac"),
    "ap-": ("apac",),
}
EVERYWHERE = "global"


def nearest(region: str) -> str:
    return max(REGIONS, key=lambda known: difflib.SequenceMatcher(None, known, region.lower()).ratio())


def dns_suffix(region: str) -> str:
    """The domain of AWS in the region's partition."""
    return DNS_SUFFIXES.get(region.partition("-")[0], "amazonaws.com")


def geographies(region: str) -> tuple[str, ...]:
    """Prefixes of inference profiles for a region, the closest first; none for a region that has no profiles of its own."""
    return next((found for start, found in GEOGRAPHIES.items() if region.startswith(start)), ())


def google_host(location: str) -> str:
    """Of Vertex AI, for a region, a multi-region (us, eu) or global."""
    if location in ("us", "eu"):
        return f"aiplatform.{location}.rep.googleapis.com"
    return "aiplatform.googleapis.com" if location == "global" else f"{location}-aiplatform.googleapis.com"
