"""Which addresses a model's requests may reach: those of the internet, and nothing behind its edge.

The lists are those of the IANA special-purpose address registries, and the addresses at which cloud
providers offer the secrets of a machine to whoever runs on it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def why_refused(text: str, *, private: bool) -> str:
    """Why no connection is made to an address, as a noun ("a loopback address"); "": it is made.

    `private`: loopback and private addresses are meant. Those of cloud metadata, link-local,
    multicast, reserved and translated addresses are not even then.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return "no address"
    if any(address in network for network in _METADATA):
        return "an address of cloud metadata"
    if kind := _kind(address, _PRIVATE):
        return "" if private else kind
    if kind := _kind(address, _NEVER):
        return kind
    if address.version == 6 and address not in _GLOBAL:
        return "a reserved address"
    return "" if address.is_global else "a reserved address"


def _kind(address: Address, kinds: Iterable[tuple[Network, str]]) -> str:
    return next((kind for network, kind in kinds if address in network), "")


def _networks(kinds: dict[str, str]) -> tuple[tuple[Network, str], ...]:
    return tuple(
        (ipaddress.ip_network(network), kind)
        for kind, networks in kinds.items()
        for network in networks.split()
    )


_METADATA = tuple(
    ipaddress.ip_network(each)
    # Azure's wire server and Oracle's stand at addresses that are otherwise ordinary ones.
    for each in "169.254.169.254 169.254.170.2 100.100.100.200 168.63.129.16 192.0.0.192"
    " fd00:ec2::/32 fd20:ce::254".split()
)
_PRIVATE = _networks(
    {
        "a loopback address": "127.0.0.0/8 ::1",
        "a private address": "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7",
        "a shared address of a carrier": "100.64.0.0/10",
    }
)
_NEVER = _networks(
    {
        "the address of no host": "0.0.0.0/8 ::",
        "a link-local address": "169.254.0.0/16 fe80::/10 fec0::/10",
        "a multicast address": "224.0.0.0/4 ff00::/8",
        # An IPv4 address inside of an IPv6 one: whoever translates it may reach anything.
        "a translated address": "::ffff:0:0/96 ::/96 ::ffff:0:0:0/96 64:ff9b::/96 64:ff9b:1::/48"
        " 2002::/16 2001::/32 192.88.99.0/24",
        "a reserved address": "240.0.0.0/4 192.0.0.0/24 192.0.2.0/24 198.18.0.0/15 198.51.100.0/24"
        " 203.0.113.0/24 2001::/23 2001:db8::/32 3fff::/20 5f00::/16 100::/64",
    }
)
_GLOBAL = ipaddress.ip_network("2000::/3")
