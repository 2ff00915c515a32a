"""Networks from which a client key may be used. Nothing said means everywhere. Pure."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

MOST_NETWORKS = 50

type Network = IPv4Network | IPv6Network


def read_networks(text: str) -> tuple[tuple[str, ...], list[str]]:
    """Addresses and networks, one on each line, and what is wrong with which line."""
    networks, problems = [], []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            networks.append(str(ip_network(line.strip())))
        except ValueError:
            problems.append(f"Line {number}: {flaw(line.strip())}")
    if len(networks) > MOST_NETWORKS:
        problems.append(f"These are {len(networks)} networks. At most {MOST_NETWORKS} can be kept.")
    return tuple(dict.fromkeys(networks)), problems


def flaw(line: str) -> str:
    try:
        meant = ip_network(line, strict=False)
    except ValueError:
        return "this is no address and no network. Write for example `10.0.0.0/8` or `2001:db8::/32`."
    return f"this is an address with the length of a network. The network would be `{meant}`."


def networks_of(written: Sequence[str] | None) -> tuple[Network, ...] | None:
    """As the database keeps them."""
    return None if written is None else tuple(map(ip_network, written))


def reach(networks: Sequence[Network] | None, address: str) -> bool:
    """Whether a request from this address may pass. Where there are networks, an address that cannot be read may not."""
    if networks is None:
        return True
    try:
        found = ip_address(address)
    except ValueError:
        return False
    if isinstance(found, IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    return any(found in network for network in networks)
