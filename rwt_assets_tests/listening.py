"""What the kernel says that processes listen on.

psutil reads `/proc/net/tcp`, `tcp6`, `udp` and `udp6` of a process and finds the sockets by the
inodes of its open files (proc(5)).
"""

from collections.abc import Iterable
from ipaddress import ip_address

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
    return sorted(one for one in sockets if not ip_address(one[0]).is_loopback)
