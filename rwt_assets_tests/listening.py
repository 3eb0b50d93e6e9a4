"""What the kernel says that processes listen on.

psutil reads `/proc/net/tcp`, `tcp6`, `udp` and `udp6` of a process and finds the sockets by the
inodes of its open files (proc(5)).
"""

from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address

import psutil


def listening(processes: Iterable[psutil.Process]) -> set[tuple[str, int]]:
    """Every socket that waits for others, by address and port: TCP that listens, all of UDP."""
    found = set()
    for process in processes:
        try:
            sockets = process.net_connections(kind="inet")
        except psutil.NoSuchProcess:
            continue
        for one in sockets:
            if one.status in {psutil.CONN_LISTEN, psutil.CONN_NONE} and not one.raddr:
                found.add((one.laddr.ip, one.laddr.port))
    return found


def beyond_loopback(sockets: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """Those of them that another machine could reach."""
    return sorted(one for one in sockets if not _is_loopback(one[0]))


def _is_loopback(address: str) -> bool:
    found = ip_address(address)
    # gRPC's sockets are of IPv6 and have addresses of IPv4 in it (RFC 4291, section 2.5.5.2).
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return (mapped or found).is_loopback
