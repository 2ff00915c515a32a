"""Which addresses a request may go to. Pure rules; keys/egress.py applies them to what a name resolves to."""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

AZURE_SUFFIXES = (".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com")
MAX_URL = 2048

# Python calls several of these global: they carry another address inside, or belong to a cloud's own host.
BANNED = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",
        "100.64.0.0/10",  # carriers, and Alibaba's metadata
        "168.63.129.16/32",  # Azure's host
        "192.0.0.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",
        "::/96",  # IPv4 inside IPv6
        "::ffff:0:0/96",
        "::ffff:0:0:0/96",
        "64:ff9b::/96",  # NAT64
        "64:ff9b:1::/48",
        "100::/64",
        "2001::/23",  # Teredo and other protocol assignments
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation
        "5f00::/16",  # segment routing
        "fc00::/7",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",  # multicast
    )
)
LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
NUMERIC = re.compile(r"[0-9]+|0x[0-9a-f]*")
FOLDED_BY_PARSERS = re.compile(r"[^\x21-\x7e]|\\")  # tabs, spaces, controls, Unicode and backslashes


class AddressRefused(ValueError):
    """`reason` completes a sentence whose subject is the address. It never repeats the address."""

    def __init__(self, reason: str, label: str = "Address") -> None:
        super().__init__(f"The address {reason}.")
        self.reason, self.label = reason, label


@dataclass(frozen=True, slots=True)
class AllowList:
    """Hosts and networks that the operator exempts from these rules."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()

    @classmethod
    def parse(cls, entries: Sequence[str]) -> "AllowList":
        """From host names, addresses and networks, as in EGRESS_ALLOW. Raises ValueError, saying which one is wrong."""
        hosts, networks = set(), []
        for entry in entries:
            try:
                networks.append(ipaddress.ip_network(entry, strict=False))
            except ValueError:
                if not is_name(entry.lower()):
                    raise ValueError(f"has an entry that is neither a host nor a network: {entry!r}.") from None
                hosts.add(entry.lower())
        return cls(frozenset(hosts), tuple(networks))

    def has_host(self, host: str) -> bool:
        return host.lower() in self.hosts or self.has_ip(host)

    def has_ip(self, ip: str) -> bool:
        address = parse_ip(ip)
        return address is not None and any(address in network for network in self.networks)


@dataclass(frozen=True, slots=True)
class Target:
    """A checked address. `url` is spelled canonically: lower-case host, no default port."""

    scheme: str
    host: str
    port: int
    url: str


def parse_ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def is_name(host: str) -> bool:
    """A host name in ASCII whose last label is no number, so that nobody reads it as an IP address."""
    labels = host.split(".")
    return len(host) <= 253 and all(map(LABEL.fullmatch, labels)) and not NUMERIC.fullmatch(labels[-1])


def is_public(ip: str) -> bool:
    """Whether an IP address is public unicast. Not what the operator allowed; ask AllowList for that."""
    address = parse_ip(ip)
    if address is None or "%" in ip:
        return False
    return address.is_global and not any(address in network for network in BANNED)


def check_url(url: str, allow: AllowList) -> Target:
    """https on port 443 at a public name, unless the operator allowed the host. Raises AddressRefused."""
    if FOLDED_BY_PARSERS.search(url) or len(url) > MAX_URL:
        raise AddressRefused("may only hold plain ASCII characters, no spaces, and 2,048 of them at most", "Stray character")
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in ("https", "http"):
        raise AddressRefused("must start with https://", "Needs https://")
    if "#" in rest:
        raise AddressRefused("may not hold a #", "No #")
    host, port = host_and_port(rest)
    standard = 443 if scheme == "https" else 80
    port = standard if port is None else port
    if not allow.has_host(host):
        check_public(scheme, host, port)
    shown = f"[{host}]" if ":" in host else host
    authority = shown if port == standard else f"{shown}:{port}"
    return Target(scheme, host, port, f"{scheme}://{authority}{re.sub(r'^[^/?]*', '', rest)}")


def host_and_port(rest: str) -> tuple[str, int | None]:
    """Of what follows the scheme. The host comes in lower case, an IPv6 address without brackets."""
    try:
        parts = urlsplit(f"//{rest}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise AddressRefused("has a host or a port that cannot be read", "Host") from None
    if "@" in parts.netloc:
        raise AddressRefused("may not hold a user name or a password", "No user name")
    if not host or parts.netloc.endswith(":") or port == 0:
        raise AddressRefused("has a host or a port that cannot be read", "Host")
    if host.endswith("."):
        raise AddressRefused("may not have a dot at the end of its host", "Stray dot")
    if not is_name(host) and (parse_ip(host) is None or "%" in host):
        raise AddressRefused("must name a host, like name.openai.azure.com", "Host")
    return host, port


def check_public(scheme: str, host: str, port: int) -> None:
    if scheme != "https":
        raise AddressRefused("must start with https://", "Needs https://")
    if port != 443:
        raise AddressRefused("may not name a port other than 443", "Port")
    if parse_ip(host) is not None and not is_public(host):
        raise AddressRefused("is not a public one", "Not public")
    if is_name(host) and "." not in host:
        raise AddressRefused("must name a host with a domain, like name.openai.azure.com", "Host")


def check_azure_host(host: str, allow: AllowList) -> None:
    """Azure's own domains, unless the operator allowed the host. Raises AddressRefused."""
    if allow.has_host(host):
        return
    if not any(host.endswith(suffix) and len(host) > len(suffix) for suffix in AZURE_SUFFIXES):
        raise AddressRefused(
            f"must be on Azure: its host ends in {', '.join(AZURE_SUFFIXES[:2])} or {AZURE_SUFFIXES[2]}", "Not Azure"
        )
