"""Sends to an address, or fetches from one, that somebody outside chose, without letting it choose a place inside.

1. the URL: https, no user, no fragment, a sensible port
2. the name is looked up once; every address it has must be a public one
3. the connection goes to one of these very addresses, so that a name that answers otherwise the second time gains nothing;
   the certificate is still checked against the name
4. one deadline for everything; redirects are not followed; of an answer to what was sent nothing but its status is used, and
   little read; of what is fetched no more is read than was asked for

Which addresses are public: IANA's special-purpose registries (RFC 6890 and what was registered since), read strictly: for
IPv6 only global unicast (2000::/3) less what embeds IPv4 addresses or is set apart. With ``loopback`` (development only)
plain http to this machine is taken as well.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import httpcore

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver = Callable[[str, int], Sequence[str]]

SECONDS = 15.0  # Standard Webhooks 1.0: 15 to 30 s
MOST_URL_CHARS = 2048
_ANSWER_MAX_BYTES = 64 * 1024
_MOST_ADDRESSES = 4  # of one name that are tried
_UNREGISTERED_PORTS = 1024

_NOT_PUBLIC = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT; one cloud's metadata lies here
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # a public address that one cloud answers inside every machine
        "169.254.0.0/16",  # link-local, and with it the metadata of most clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments; one cloud's metadata
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
        "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarks
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: an IPv4 address inside
        "3fff::/20",  # documentation
    )
)
_GLOBAL_IPV6 = ipaddress.ip_network("2000::/3")  # NAT64, mapped, unique local, link-local and loopback lie outside


class AddressRefused(Exception):
    """The URL is not one that we send to. Codes: ``url_invalid``, ``scheme_refused``, ``port_refused``,
    ``address_refused``."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class NotSent(Exception):
    """No answer came. Codes: ``name_unknown``, ``timeout``, ``tls_failed``, ``connection_failed``."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class NotFetched(Exception):
    """An answer came that is not what was wanted. Codes: ``status_refused`` (redirects too: the address they name was not
    checked), ``type_refused``, ``too_large``."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A URL that passed step 1. ``path`` carries the query."""

    scheme: str
    host: str
    port: int
    path: str


def is_public(address: IpAddress) -> bool:
    """Whether that address is somewhere on the internet and nowhere else."""
    if isinstance(address, ipaddress.IPv6Address) and (address.scope_id is not None or address not in _GLOBAL_IPV6):
        return False
    return address.is_global and not any(address in network for network in _NOT_PUBLIC)


def destination(url: str, *, loopback: bool = False) -> Destination:
    """Step 1, and step 2 for a host that is an address already.

    Raises:
        AddressRefused.
    """
    if len(url) > MOST_URL_CHARS or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise AddressRefused("url_invalid")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise AddressRefused("url_invalid") from None
    if not host or "@" in parts.netloc or "%" in parts.netloc or parts.fragment:
        raise AddressRefused("url_invalid")
    if parts.scheme != "https" and not (loopback and parts.scheme == "http"):
        raise AddressRefused("scheme_refused")
    port = port if port is not None else (443 if parts.scheme == "https" else 80)
    if not loopback and port != 443 and port < _UNREGISTERED_PORTS:
        raise AddressRefused("port_refused")
    found = Destination(
        scheme=parts.scheme,
        host=host,
        port=port,
        path=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
    )
    try:
        literal = ipaddress.ip_address(host)
    except ValueError:
        return found
    _refuse_unless_allowed([literal], found, loopback)
    return found


def system_resolver(host: str, port: int) -> Sequence[str]:
    """The addresses of a name, as this machine finds them."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def checked_addresses(to: Destination, resolve: Resolver, *, loopback: bool = False) -> tuple[str, ...]:
    """Step 2: all addresses of the name, if every one of them is allowed.

    Raises:
        AddressRefused, NotSent.
    """
    try:
        listed = resolve(to.host, to.port)
        addresses = [ipaddress.ip_address(one) for one in dict.fromkeys(listed)]
    except (OSError, UnicodeError, ValueError):
        raise NotSent("name_unknown") from None
    if not addresses:
        raise NotSent("name_unknown")
    _refuse_unless_allowed(addresses, to, loopback)
    return tuple(str(one) for one in addresses[:_MOST_ADDRESSES])


def _refuse_unless_allowed(addresses: Iterable[IpAddress], to: Destination, loopback: bool) -> None:
    for one in addresses:
        here = loopback and one.is_loopback and getattr(one, "ipv4_mapped", None) is None
        if not here and (to.scheme != "https" or not is_public(one)):
            raise AddressRefused("address_refused")


def post(
    url: str,
    *,
    headers: Mapping[str, str],
    body: bytes,
    loopback: bool = False,
    resolve: Resolver = system_resolver,
    seconds: float = SECONDS,
    tls: ssl.SSLContext | None = None,
) -> int:
    """Steps 1 to 4; gives the status of the answer. ``tls``: instead of the system's trust, for tests.

    Looking the name up is bounded by the system's resolver, not by ``seconds``.

    Raises:
        AddressRefused, NotSent.
    """
    deadline = time.monotonic() + seconds
    sent = [*headers.items(), ("Content-Length", str(len(body)))]
    with _asked(
        "POST", url, sent, body, loopback=loopback, resolve=resolve, seconds=seconds, deadline=deadline, tls=tls
    ) as answer:
        read = 0
        for part in answer.iter_stream():  # 4
            read += len(part)
            if read >= _ANSWER_MAX_BYTES:
                break
        return int(answer.status)


def fetch(
    url: str,
    *,
    most: int,
    types: Sequence[str],
    loopback: bool = False,
    resolve: Resolver = system_resolver,
    seconds: float = SECONDS,
    tls: ssl.SSLContext | None = None,
) -> bytes:
    """Steps 1 to 4; gives the content, at most ``most`` bytes, if its media type begins with one of ``types``.

    What the type says is the sender's word: whoever reads the content decides what it is.

    Raises:
        AddressRefused, NotSent, NotFetched.
    """
    deadline = time.monotonic() + seconds
    # no coding: what is counted is what is read, and nothing unpacks to a thousand times its size
    wanted = [
        ("Accept", ", ".join(f"{each}*" if each.endswith("/") else each for each in types)),
        ("Accept-Encoding", "identity"),
    ]
    with _asked(
        "GET", url, wanted, b"", loopback=loopback, resolve=resolve, seconds=seconds, deadline=deadline, tls=tls
    ) as answer:
        if answer.status != 200:
            raise NotFetched("status_refused")
        stated = {name.lower(): value.decode("latin-1") for name, value in answer.headers}
        kind = stated.get(b"content-type", "").partition(";")[0].strip().lower()
        if (
            not any(kind.startswith(each) for each in types)
            or stated.get(b"content-encoding", "identity") != "identity"
        ):
            raise NotFetched("type_refused")
        length = stated.get(b"content-length", "0")
        if not length.isdecimal() or int(length) > most:
            raise NotFetched("too_large")
        content = bytearray()
        for part in answer.iter_stream():  # 4
            content += part
            if len(content) > most:
                raise NotFetched("too_large")
        return bytes(content)


@contextmanager
def _asked(
    method: str,
    url: str,
    headers: Sequence[tuple[str, str]],
    body: bytes,
    *,
    loopback: bool,
    resolve: Resolver,
    seconds: float,
    deadline: float,
    tls: ssl.SSLContext | None,
) -> Iterator[httpcore.Response]:
    """Steps 1 to 3; the answer, whose content is not read yet."""
    to = destination(url, loopback=loopback)  # 1
    addresses = checked_addresses(to, resolve, loopback=loopback)  # 2
    pinned = _Pinned(addresses, deadline)  # 3
    sent = [(b"Host", _host_header(to)), *((name.encode(), value.encode()) for name, value in headers)]
    target = httpcore.URL(scheme=to.scheme.encode(), host=to.host.encode(), port=to.port, target=to.path.encode())
    try:
        with (
            httpcore.ConnectionPool(
                ssl_context=tls or ssl.create_default_context(), network_backend=pinned, max_connections=1, retries=0
            ) as pool,
            pool.stream(method, target, headers=sent, content=body, extensions={"timeout": _every(seconds)}) as answer,
        ):
            yield answer
    except httpcore.TimeoutException:
        raise NotSent("timeout") from None
    except (httpcore.NetworkError, httpcore.ProtocolError, ssl.SSLError, OSError) as error:
        refused = isinstance(error.__context__, ssl.SSLError) or isinstance(error, ssl.SSLError)
        raise NotSent("tls_failed" if refused else "connection_failed") from None


def _every(seconds: float) -> dict[str, float]:
    return {"connect": seconds, "read": seconds, "write": seconds, "pool": seconds}


def _host_header(to: Destination) -> bytes:
    host = f"[{to.host}]" if ":" in to.host else to.host
    usual = 443 if to.scheme == "https" else 80
    return (host if to.port == usual else f"{host}:{to.port}").encode()


class _Pinned(httpcore.NetworkBackend):
    """Connects to the checked addresses, whatever name it is asked for, and lets nothing outlast the deadline."""

    def __init__(self, addresses: Sequence[str], deadline: float) -> None:
        self._addresses, self._deadline = addresses, deadline
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        failed: Exception = httpcore.ConnectError("no address")
        for address in self._addresses:
            try:
                left = _left(self._deadline)
                return _Timed(self._sockets.connect_tcp(address, port, left, None, socket_options), self._deadline)
            except httpcore.ConnectError as error:
                failed = error
        raise failed

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.NetworkStream:
        raise httpcore.ConnectError("no sockets of this machine")

    def sleep(self, seconds: float) -> None:
        time.sleep(min(seconds, _left(self._deadline)))


class _Timed(httpcore.NetworkStream):
    """A stream each of whose steps ends with the deadline: one byte now and then does not hold us."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(self._deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(self._deadline))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Timed(self._stream.start_tls(ssl_context, server_hostname, _left(self._deadline)), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("deadline")
    return left


# --- an exchange whose answer is read -----------------------------------------------------------------------------------


class AnswerLost(Exception):
    """The request began to go out and no whole answer came: it may have arrived. Codes as of :class:`NotSent`, and
    ``answer_too_large``."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """An answer, whole. Header names are lower-case; of a repeated one the last is kept."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@cache
def _trust() -> ssl.SSLContext:
    """The system's, read once: reading it takes as long as a short exchange."""
    return ssl.create_default_context()


def exchange(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    body: bytes = b"",
    at_most_bytes: int,
    seconds: float,
    loopback: bool = False,
    resolve: Resolver = system_resolver,
    tls: ssl.SSLContext | None = None,
) -> Received:
    """Steps 1 to 4, with any method, and the answer read whole. Redirects are answers like others.

    ``NotSent`` means that not a byte of the request went out, so that it may be sent again whatever it asks for.

    Raises:
        AddressRefused, NotSent, AnswerLost.
    """
    to = destination(url, loopback=loopback)  # 1
    addresses = checked_addresses(to, resolve, loopback=loopback)  # 2
    pinned = _Pinned(addresses, time.monotonic() + seconds)  # 3
    sent = [(b"Host", _host_header(to)), *((name.encode(), value.encode()) for name, value in headers.items())]
    sent.append((b"Accept-Encoding", b"identity"))  # what is bounded is what is read
    if body or method not in ("GET", "DELETE"):
        sent.append((b"Content-Length", str(len(body)).encode()))
    target = httpcore.URL(scheme=to.scheme.encode(), host=to.host.encode(), port=to.port, target=to.path.encode())
    begun = False

    def trace(event: str, _: Mapping[str, Any]) -> None:
        nonlocal begun
        begun = begun or event == "http11.send_request_headers.started"

    try:
        with (
            httpcore.ConnectionPool(
                ssl_context=tls or _trust(), network_backend=pinned, max_connections=1, retries=0
            ) as pool,
            pool.stream(
                method, target, headers=sent, content=body, extensions={"timeout": _every(seconds), "trace": trace}
            ) as answer,
        ):
            read = bytearray()
            for part in answer.iter_stream():  # 4
                read += part
                if len(read) > at_most_bytes:
                    raise AnswerLost("answer_too_large")
            found = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in answer.headers}
            return Received(status=int(answer.status), headers=found, body=bytes(read))
    except httpcore.TimeoutException:
        raise (AnswerLost if begun else NotSent)("timeout") from None
    except (httpcore.NetworkError, httpcore.ProtocolError, ssl.SSLError, OSError) as error:
        refused = isinstance(error.__context__, ssl.SSLError) or isinstance(error, ssl.SSLError)
        code = "tls_failed" if refused else "connection_failed"
        raise (AnswerLost if begun else NotSent)(code) from None
