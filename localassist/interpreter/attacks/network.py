"""Attacks that reach services, networks and the hypervisor."""

from __future__ import annotations

from localassist.interpreter.attacks.attack import Attack

_CONNECT = """
import socket
s = socket.socket({family}, {kind}); s.settimeout(2)
s.connect({address}); s.send(b"x"); print("REACHED")
"""
ATTACKS: tuple[Attack, ...] = (
    Attack(
        "net-tcp",
        "net",
        "connect to a service on the host",
        _CONNECT.format(
            family="socket.AF_INET", kind="socket.SOCK_STREAM", address='("127.0.0.1", @TCP@)'
        ),
        sign="hit",
        quick=True,
    ),
    Attack(
        "net-udp",
        "net",
        "send a datagram out",
        """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(b"x", ("127.0.0.1", @UDP@))
""",
        sign="hit",
    ),
    Attack(
        "net-tcp6",
        "net",
        "connect by IPv6",
        """
import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_STREAM); print("REACHED a socket of IPv6")
""",
    ),
    Attack(
        "net-unix",
        "net",
        "connect to a host's socket by its path",
        _CONNECT.format(family="socket.AF_UNIX", kind="socket.SOCK_STREAM", address='"@UNIX@"'),
        sign="hit",
        quick=True,
    ),
    Attack(
        "net-unix-datagram",
        "net",
        "send to a host's datagram socket",
        """
import socket
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.sendto(b"x", "@DATAGRAM@")
""",
        sign="hit",
    ),
    Attack(
        "net-abstract",
        "net",
        "connect to an abstract socket",
        _CONNECT.format(
            family="socket.AF_UNIX", kind="socket.SOCK_STREAM", address='"\\0@ABSTRACT@"'
        ),
        sign="hit",
    ),
    Attack(
        "net-vsock",
        "net",
        "talk to the hypervisor",
        """
import socket
s = socket.socket(40, socket.SOCK_STREAM); print("REACHED a vsock")
""",
    ),
    Attack(
        "net-netlink",
        "net",
        "ask the kernel for interfaces",
        """
import socket
s = socket.socket(16, socket.SOCK_RAW, 0); print("REACHED netlink")
""",
    ),
    Attack(
        "net-resolve",
        "net",
        "resolve a name",
        """
import socket
print("REACHED", socket.gethostbyname("example.com"))
""",
    ),
)
