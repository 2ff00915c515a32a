"""Networks from which a client key may be used. Nothing said means everywhere. Pure."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

MOST_NETWORKS = 50
MAPPED_BITS = 96  # before an IPv4 address in the form of IPv6

type Address = IPv4Address | IPv6Address
type Network = IPv4Network | IPv6Network


def read_networks(text: str) -> tuple[tuple[str, ...], list[str]]:
    """Addresses and networks, one on each line, and what is wrong with which line."""
    networks, problems = [], []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            networks.append(str(read_network(line.strip())))
        except ValueError:
            problems.append(f"Line {number}: {flaw(line.strip())}")
    if len(networks) > MOST_NETWORKS:
        problems.append(f"These are {len(networks)} networks. At most {MOST_NETWORKS} can be kept.")
    return tuple(dict.fromkeys(networks)), problems


def read_network(text: str, *, strict: bool = True) -> Network:
    """IPv4 in the form of IPv6 is IPv4, as it is in addresses. Raises ValueError."""
    found = ip_network(text, strict=strict)
    if isinstance(found, IPv4Network):
        return found
    if found.network_address.scope_id:
        raise ValueError("A part of one machine's network is none here.")
    inner = found.network_address.ipv4_mapped
    return IPv4Network((inner, found.prefixlen - MAPPED_BITS)) if inner and found.prefixlen >= MAPPED_BITS else found


def read_address(text: str) -> Address | None:
    """IPv4 in the form of IPv6 is IPv4: some servers and proxies write it so."""
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found


def flaw(line: str) -> str:
    try:
        meant = read_network(line, strict=False)
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
    found = read_address(address)
    return found is not None and any(found in network for network in networks)
