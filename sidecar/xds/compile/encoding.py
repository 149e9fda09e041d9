"""How our values become protobuf: durations, wrappers, shares, Any, and the canonical bytes of a resource.

Bytes are canonical: deterministic serialisation (maps in key order), lists in the order given by the caller, who
sorts where order has no meaning. A resource's version is a hash of them (docs/xds.md, M5: the same bytes
under a new version change nothing, so equal input must give equal bytes in every process).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b

from sidecar.certificates.model import SecretSource
from sidecar.mesh.model import Provenance
from sidecar.xds import protos as pb
from sidecar.xds.resource import Resource, TypeUrl

__all__ = [
    "VERSION_BYTES",
    "ads",
    "alias_only",
    "canonical",
    "duration",
    "extension",
    "fraction",
    "inline",
    "packed",
    "parts_per_million",
    "raw_field",
    "resource",
    "socket_address",
    "unique",
]

VERSION_BYTES = 16
"""Length of the hash that is a version: collisions among 10^9 resources stay below 10^-20."""

_TYPE_PREFIX = "type.googleapis.com/"


def canonical(message: pb.Message) -> bytes:
    """The bytes of a message, equal for equal messages in every process."""
    return message.SerializeToString(deterministic=True)


def packed(message: pb.Message) -> pb.Any:
    """The message inside an Any, with canonical bytes."""
    return pb.Any(type_url=_TYPE_PREFIX + message.DESCRIPTOR.full_name, value=canonical(message))


def raw_field(number: int, message: pb.Message) -> bytes:
    """A field as bytes on the wire, for fields (1 to 15) that Envoy has and our message classes lack.

    The bytes are merged into the message around it, which keeps them as an unknown field.
    """
    body = canonical(message)
    assert 0 < number < 16, f"field {number} needs a longer tag"
    assert len(body) < 128, f"{len(body)} bytes need a longer length"
    return bytes([number << 3 | 2, len(body)]) + body


def extension(name: str, message: pb.Message) -> pb.TypedExtensionConfig:
    """A named extension with its configuration."""
    return pb.TypedExtensionConfig(name=name, typed_config=packed(message))


@lru_cache(maxsize=1024)
def duration(seconds: float) -> pb.Duration:
    """A duration of `seconds`, exact to the nanosecond. Shared: to be copied into messages, never changed."""
    nanos = round(seconds * 1e9)
    return pb.Duration(seconds=nanos // 1_000_000_000, nanos=nanos % 1_000_000_000)


def parts_per_million(parts: int) -> pb.FractionalPercent:
    """A share in parts per million."""
    return pb.FractionalPercent(numerator=parts, denominator=pb.FractionalPercent.MILLION)


def fraction(parts: int) -> pb.RuntimeFractionalPercent:
    """A share in parts per million where Envoy would also take a runtime key."""
    return pb.RuntimeFractionalPercent(default_value=parts_per_million(parts))


def inline(content: bytes) -> pb.DataSource:
    """Bytes held in place."""
    return pb.DataSource(inline_bytes=content)


@lru_cache(maxsize=8)
def ads(initial_fetch_timeout_s: float) -> pb.ConfigSource:
    """`Take it from the ADS stream`, with an explicit wait for the first answer; 0 waits for ever. Shared."""
    return pb.ConfigSource(
        ads=pb.AggregatedConfigSource(),
        resource_api_version=pb.ApiVersion.V3,
        initial_fetch_timeout=duration(initial_fetch_timeout_s),
    )


def socket_address(address: str, port: int) -> pb.Address:
    """An IP address and port, or a unix socket (absolute path, or `@name` for an abstract one)."""
    path = address.removeprefix("unix://")
    if path.startswith(("/", "@")):
        return pb.Address(pipe=pb.Pipe(path=path))
    return pb.Address(socket_address=pb.SocketAddress(address=address, port_value=port))


def unique(sources: Iterable[Provenance]) -> tuple[Provenance, ...]:
    """The sources that name an object, each once, in the order first met."""
    return tuple(dict.fromkeys(source for source in sources if source.ref is not None))


def resource(
    type_url: TypeUrl,
    name: str,
    message: pb.Message,
    *,
    sources: Iterable[Provenance] = (),
    aliases: tuple[str, ...] = (),
    needs: frozenset[str] | None = None,
    domains: tuple[str, ...] = (),
    secrets: Iterable[SecretSource] = (),
) -> Resource:
    """The message as a resource: canonical bytes, versioned by their hash."""
    body = canonical(message)
    return Resource(
        type_url=type_url,
        name=name,
        version=blake2b(body, digest_size=VERSION_BYTES).hexdigest(),
        body=body,
        aliases=aliases,
        sources=unique(sources),
        needs=needs,
        domains=domains,
        secrets=frozenset(secrets),
    )


def alias_only(route_config: str, authority: str) -> Resource:
    """The answer for an authority that gets no virtual host: no body, only the alias it was asked under.

    Envoy then answers 404 at once; a removal would leave the request hanging (docs/xds.md, 12c).
    """
    name = f"{route_config}/{authority}"
    return Resource(
        type_url=TypeUrl.VIRTUAL_HOST,
        name=name,
        version=blake2b(name.encode(), digest_size=VERSION_BYTES).hexdigest(),
        body=b"",
        aliases=(name,),
        needs=frozenset(),
    )
