"""Where requests may go: hostile addresses, and the spellings by which parsers are fooled."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.addresses import AddressRefused, AllowList, check_azure_host, check_url, is_public

NOBODY = AllowList()
OPERATOR = AllowList.parse(["proxy.corp.example", "127.0.0.0/8", "10.1.2.3", "fd00::/8", "localhost"])


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.0.0.1",
        "100.64.0.1",
        "100.100.100.200",  # Alibaba's metadata
        "127.0.0.1",
        "169.254.169.254",
        "168.63.129.16",  # Azure's host
        "172.16.0.1",
        "192.0.0.1",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "::ffff:0:7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "2606:4700::1%eth0",
        "fec0::1",
        "ff02::1",
        "0177.0.0.1",
        "2130706433",
        "0x7f.1",
        "127.1",
        "",
        "localhost",
    ],
)
def test_an_address_that_is_not_public_unicast_is_refused(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "20.42.0.1", "2606:4700:4700::1111", "2a00:1450:4001:800::200e"])
def test_a_public_address_is_fine(address: str) -> None:
    assert is_public(address)


@given(st.ip_addresses())
def test_nothing_is_public_that_python_calls_private(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    if address.is_private or address.is_multicast or address.is_loopback or address.is_link_local:
        assert not is_public(str(address))


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("https://x.openai.azure.com", "https://x.openai.azure.com"),
        ("HTTPS://X.OpenAI.Azure.COM/openai/Deployments", "https://x.openai.azure.com/openai/Deployments"),
        ("https://x.openai.azure.com:443/a?api-version=1", "https://x.openai.azure.com/a?api-version=1"),
        ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/"),
        ("https://8.8.8.8/", "https://8.8.8.8/"),
        ("https://[2606:4700:4700::1111]/", "https://[2606:4700:4700::1111]/"),
        ("https://x.example?a=https://y.example/", "https://x.example?a=https://y.example/"),
    ],
)
def test_a_good_address_is_spelled_canonically(url: str, canonical: str) -> None:
    target = check_url(url, NOBODY)
    assert (target.url, target.scheme, target.port) == (canonical, "https", 443)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "start with https://"),
        ("x.openai.azure.com", "start with https://"),
        ("//x.openai.azure.com", "start with https://"),
        ("http://x.openai.azure.com", "start with https://"),
        ("ftp://x.openai.azure.com", "start with https://"),
        ("file:///etc/passwd", "start with https://"),
        ("gopher://x.example:443/", "start with https://"),
        ("https:x.openai.azure.com", "start with https://"),
        ("https:/x.openai.azure.com", "start with https://"),
        ("https://x.example:8443/", "port other than 443"),
        ("https://x.example:80/", "port other than 443"),
        ("https://x.example:0/", "cannot be read"),
        ("https://x.example:/", "cannot be read"),
        ("https://x.example:99999/", "cannot be read"),
        ("https://x.example:٤٤٣/", "plain ASCII"),
        ("https:///path", "cannot be read"),
        ("https://", "cannot be read"),
        ("https://:443/", "cannot be read"),
        ("https://[::1", "cannot be read"),
        ("https://user@x.example/", "user name"),
        ("https://user:pass@x.example/", "user name"),
        ("https://x.openai.azure.com@evil.example/", "user name"),
        ("https://x.example/#frag", "may not hold a #"),
        ("https://evil.example#.openai.azure.com", "may not hold a #"),
        ("https://x.exa\tmple/", "plain ASCII"),
        ("https://x.example\n.evil/", "plain ASCII"),
        (" https://x.example/", "plain ASCII"),
        ("https://x.example\\@evil.example/", "plain ASCII"),
        ("https://x。example/", "plain ASCII"),
        ("https://ⓔxample.com/", "plain ASCII"),
        ("https://x.example/" + "a" * 2048, "2,048"),
        ("https://x.example./", "dot at the end"),
        ("https://x..example/", "must name a host"),
        ("https://.example.com/", "must name a host"),
        ("https://-x.example/", "must name a host"),
        ("https://x%2eexample/", "must name a host"),
        ("https://x.example;y/", "must name a host"),
        ("https://localhost/", "with a domain"),
        ("https://metadata/", "with a domain"),
        ("https://127.0.0.1/", "not a public one"),
        ("https://169.254.169.254/latest/meta-data/", "not a public one"),
        ("https://[::1]/", "not a public one"),
        ("https://[::ffff:169.254.169.254]/", "not a public one"),
        ("https://[fe80::1%25eth0]/", "must name a host"),
        ("https://0177.0.0.1/", "must name a host"),
        ("https://0x7f000001/", "must name a host"),
        ("https://2130706433/", "must name a host"),
        ("https://127.1/", "must name a host"),
        ("https://x.example.0x1/", "must name a host"),
    ],
)
def test_a_bad_address_is_refused_in_plain_words(url: str, reason: str) -> None:
    with pytest.raises(AddressRefused) as refusal:
        check_url(url, NOBODY)
    assert reason in str(refusal.value)
    assert str(refusal.value).startswith("The address ")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8001/v1",
        "https://10.1.2.3:8443/",
        "http://[fd00::1]:80/",
        "http://proxy.corp.example:3128/",
        "http://localhost:1/",
    ],
)
def test_the_operator_may_allow_any_host_with_any_port_and_plain_http(url: str) -> None:
    assert check_url(url, OPERATOR).host
    with pytest.raises(AddressRefused):
        check_url(url, NOBODY)


def test_the_default_port_of_an_allowed_plain_address_is_80() -> None:
    assert check_url("http://LOCALHOST/x", OPERATOR).port == 80
    assert check_url("http://localhost:8001/x", OPERATOR).url == "http://localhost:8001/x"


def test_an_allow_list_knows_names_addresses_and_networks() -> None:
    assert OPERATOR.has_host("Proxy.Corp.Example")
    assert OPERATOR.has_ip("127.9.9.9")
    assert OPERATOR.has_ip("10.1.2.3")
    assert not OPERATOR.has_ip("10.1.2.4")
    assert not OPERATOR.has_ip("not an address")
    assert not OPERATOR.has_host("evil.proxy.corp.example")


@pytest.mark.parametrize("entry", ["http://x.example", "x.example:80", "10.0.0.0/33", "a b", "*"])
def test_an_allow_list_names_the_entry_it_does_not_understand(entry: str) -> None:
    with pytest.raises(ValueError, match="neither a host nor a network"):
        AllowList.parse(["fine.example", entry])


@pytest.mark.parametrize(
    ("host", "fine"),
    [
        ("x.openai.azure.com", True),
        ("x.cognitiveservices.azure.com", True),
        ("a.b.services.ai.azure.com", True),
        ("proxy.corp.example", True),
        ("openai.azure.com", False),
        (".openai.azure.com", False),
        ("xopenai.azure.com", False),
        ("x.openai.azure.com.evil.com", False),
        ("x.azure.com", False),
        ("x.openai.azure.co", False),
    ],
)
def test_azure_lives_on_its_own_domains(host: str, fine: bool) -> None:
    if fine:
        check_azure_host(host, OPERATOR)
        return
    with pytest.raises(AddressRefused, match="must be on Azure"):
        check_azure_host(host, OPERATOR)


@given(st.text(max_size=60).map(lambda rest: f"https://{rest}") | st.text(max_size=60))
def test_any_text_is_either_refused_or_a_public_https_address(url: str) -> None:
    try:
        target = check_url(url, NOBODY)
    except AddressRefused:
        return
    assert (target.scheme, target.port) == ("https", 443)
    assert target.url.isascii()
    assert check_url(target.url, NOBODY) == target
