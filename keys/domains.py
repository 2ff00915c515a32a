"""Whether a domain belongs to those who say so: its DNS holds the words that they were given."""

import dns.exception
import dns.nameserver
import dns.rdatatype
import dns.resolver
from django.conf import settings

SECONDS = 5.0


def texts_at(name: str) -> list[str] | None:
    """The TXT records of a name; none where there is no such name, and None where no name server could tell."""
    try:
        answer = resolver().resolve(f"{name}.", dns.rdatatype.TXT, lifetime=SECONDS, search=False)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []
    except (dns.exception.DNSException, OSError, ValueError):
        return None
    return [b"".join(record.strings).decode(errors="replace") for record in answer]


def resolver() -> dns.resolver.Resolver:
    """Asks the operator's name servers, or the machine's."""
    if not settings.DNS_SERVERS:
        return dns.resolver.Resolver()
    chosen = dns.resolver.Resolver(configure=False)
    chosen.nameservers = [dns.nameserver.Do53Nameserver(host, port) for host, port in settings.DNS_SERVERS]
    return chosen
