"""Which hosts are this machine: to others nothing secret is sent over plain HTTP."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Whether `host`, a name or an address, is a loopback address of this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
