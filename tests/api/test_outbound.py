"""Addresses that somebody outside chooses: nothing inside is reached through them, and no receiver can hold us."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from api.outbound import AddressRefused, NotSent, Resolver, checked_addresses, destination, is_public, post
from tests.api.receiver import receiver

INSIDE = [
    "127.0.0.1", "127.255.255.254", "0.0.0.0",  # noqa: S104 - an address to refuse
    "0.1.2.3", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
    "169.254.169.254", "169.254.0.1", "100.64.0.1", "100.100.100.200", "100.127.255.255", "192.0.0.192", "192.0.0.8",
    "168.63.129.16", "192.0.2.1", "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.9", "224.0.0.1",
    "239.255.255.255", "240.0.0.1", "255.255.255.255", "192.88.99.1",
    "::1", "::", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "fe80::1", "fe80::1%1", "fec0::1", "fc00::1",
    "fd00:ec2::254", "ff02::1", "64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::a00:1", "2002:7f00:1::1",
    "2002:808:808::1", "2001::1", "2001:0:7f00:1::", "2001:10::1", "2001:db8::1", "3fff::1", "100::1", "5f00::1",
    "4000::1",
]  # fmt: skip
OUTSIDE = ["8.8.8.8", "1.1.1.1", "93.184.216.34", "100.63.255.255", "172.32.0.1", "2606:4700::1111", "2a00:1450::1"]


def says(*addresses: str) -> Resolver:
    return lambda _host, _port: addresses


@pytest.mark.parametrize("address", INSIDE)
def test_nothing_inside_is_public_whatever_the_spelling(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(AddressRefused) as refused:
        destination(f"https://{host}/hook")
    assert refused.value.code in ("address_refused", "url_invalid")  # a zone cannot even be written
    with pytest.raises(AddressRefused):
        checked_addresses(destination("https://hooks.example/"), says(address))


@pytest.mark.parametrize("address", OUTSIDE)
def test_what_is_public_is_taken(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))
    assert checked_addresses(destination("https://hooks.example/"), says(address)) == (address,)


@pytest.mark.parametrize("number", ["2130706433", "0x7f000001", "017700000001", "127.1", "0x7f.1", "0177.0.0.1"])
def test_odd_spellings_of_a_loopback_address_are_what_they_resolve_to(number: str) -> None:
    """The system's resolver reads them as 127.0.0.1, and that is what is checked."""

    def numeric(host: str, port: int) -> Sequence[str]:
        return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]

    with pytest.raises(AddressRefused, match="address_refused"):
        checked_addresses(destination(f"https://{number}/"), numeric)


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://hooks.example/", "scheme_refused"),
        ("ftp://hooks.example/", "scheme_refused"),
        ("file:///etc/passwd", "url_invalid"),
        ("gopher://hooks.example/", "scheme_refused"),
        ("https://", "url_invalid"),
        ("//hooks.example/", "scheme_refused"),
        ("https://user:secret@hooks.example/", "url_invalid"),
        ("https://8.8.8.8@127.0.0.1/", "url_invalid"),
        ("https://hooks.example/#top", "url_invalid"),
        ("https://hooks.example\\@127.0.0.1/", "url_invalid"),
        ("https://hooks.example/a b", "url_invalid"),
        ("https://hooks.example/\r\nHost: inside", "url_invalid"),
        ("https://hööks.example/", "url_invalid"),
        ("https://hooks.example:99999/", "url_invalid"),
        ("https://hooks.example:22/", "port_refused"),
        ("https://hooks.example:25/", "port_refused"),
        ("https://hooks.example/" + "a" * 2048, "url_invalid"),
        ("https://[::1%25eth0]/", "url_invalid"),
    ],
)
def test_urls_that_are_never_sent_to(url: str, code: str) -> None:
    with pytest.raises(AddressRefused) as refused:
        destination(url)
    assert refused.value.code == code


def test_one_bad_address_among_good_ones_refuses_the_name() -> None:
    with pytest.raises(AddressRefused, match="address_refused"):
        checked_addresses(destination("https://hooks.example/"), says("8.8.8.8", "10.0.0.1"))


def test_loopback_is_taken_in_development_only_and_only_loopback() -> None:
    here = destination("http://hooks.example:8080/", loopback=True)
    assert checked_addresses(here, says("127.0.0.1"), loopback=True) == ("127.0.0.1",)
    for elsewhere in ("10.0.0.1", "8.8.8.8", "169.254.169.254", "::ffff:127.0.0.1"):
        with pytest.raises(AddressRefused):
            checked_addresses(here, says(elsewhere), loopback=True)
    with pytest.raises(AddressRefused):
        destination("http://10.0.0.1/", loopback=True)


@pytest.mark.parametrize("answers", [[], ["not an address"]])
def test_a_name_without_addresses_is_not_sent_to(answers: list[str]) -> None:
    with pytest.raises(NotSent, match="name_unknown"):
        checked_addresses(destination("https://hooks.example/"), says(*answers))


def test_the_connection_goes_where_was_checked_whatever_the_name_says_next() -> None:
    """DNS rebinding: the name has a good address when it is checked and a bad one after. It is asked once."""
    asked: list[str] = []
    with receiver() as good, receiver() as bad:

        def rebinding(host: str, port: int) -> Sequence[str]:
            asked.append(host)
            return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.2"]

        assert (
            post(
                f"http://hooks.example:{good.port}/hook?a=1", headers={"X-A": "1"}, body=b"{}", loopback=True,
                resolve=rebinding,
            )
            == 204
        )  # fmt: skip
    assert asked == ["hooks.example"]
    assert (len(good.received), len(bad.received)) == (1, 0)
    got = good.received[0]
    assert (got.path, got.body, got.headers["x-a"]) == ("/hook?a=1", b"{}", "1")
    assert got.headers["host"] == f"hooks.example:{good.port}"


def test_a_redirect_is_an_answer_and_not_followed() -> None:
    with receiver() as first, receiver() as second:
        first.answer, first.location = 307, second.url
        assert post(first.url, headers={}, body=b"{}", loopback=True) == 307
    assert second.received == []


@pytest.mark.parametrize("how", ["hang", "drip"])
def test_a_receiver_that_never_ends_is_left_at_the_deadline(how: str) -> None:
    with receiver() as slow:
        slow.answer = how
        with pytest.raises(NotSent, match="timeout"):
            post(slow.url, headers={}, body=b"{}", loopback=True, seconds=0.4)


def test_an_answer_without_end_is_read_a_little() -> None:
    with receiver() as flooding:
        flooding.answer = "flood"
        assert post(flooding.url, headers={}, body=b"{}", loopback=True, seconds=5) == 200


def test_nobody_there_is_said_so() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(NotSent, match="connection_failed"):
            post(f"http://127.0.0.1:{port}/", headers={}, body=b"{}", loopback=True, seconds=2)


def test_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver() as proxy, receiver() as meant:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        post(meant.url, headers={}, body=b"{}", loopback=True)
    assert (len(proxy.received), len(meant.received)) == (0, 1)


def _certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's TLS with a certificate for ``name``, and a client's that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / f"{name}.pem"
    file.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + certificate.public_bytes(Encoding.PEM)
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    return server, ssl.create_default_context(cadata=certificate.public_bytes(Encoding.PEM).decode())


def test_a_pinned_connection_still_proves_the_name(tmp_path: Path) -> None:
    server, client = _certificate(tmp_path, "hooks.example")
    with receiver(server) as secure:
        url = f"https://hooks.example:{secure.port}/hook"
        assert post(url, headers={}, body=b"{}", loopback=True, resolve=says("127.0.0.1"), tls=client) == 204
        other = f"https://other.example:{secure.port}/hook"
        for wrong, trust in ((other, client), (url, None)):  # another name; an issuer that nobody knows
            with pytest.raises(NotSent, match="tls_failed"):
                post(wrong, headers={}, body=b"{}", loopback=True, resolve=says("127.0.0.1"), tls=trust)
    assert len(secure.received) == 1
