"""Each router does what its kind says: measured with plain sockets, as RFC 5780 section 4 does."""

from __future__ import annotations

import socket

from attrs import define, field

from tests.lab.case import LabCase
from tests.lab.commands import until
from tests.lab.namespaces import Namespace
from tests.lab.nat import Behavior, NatKind, PortRange, Router
from tests.lab.segment import Segment, public4

SERVER, OTHER = public4(10), public4(11)


@define(eq=False)
class Probe:
    """Sockets at two public addresses, and a machine behind a router."""

    segment: Segment
    router: Router = field(init=False)
    host: Namespace = field(init=False)
    servers: dict[tuple[str, int], socket.socket] = field(init=False)
    sockets: list[socket.socket] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        far = {
            host: self.segment.public(f"server{host[-1]}", int(host[-2:]))
            for host in (SERVER, OTHER)
        }
        self.servers = {
            (host, port): self._open(far[host], host, port)
            for host, port in ((SERVER, 9001), (SERVER, 9002), (OTHER, 9001))
        }
        self.router = self.segment.router("router", NatKind.PORT_RESTRICTED, number=1, lan=1)
        self.host = self.segment.lab.namespace("host")
        self.segment.inside(self.host, 1)

    def _open(self, space: Namespace, host: str, port: int) -> socket.socket:
        made = space.udp(host, port)
        self.sockets.append(made)
        return made

    def client(self) -> socket.socket:
        """A new socket of the inside machine."""
        return self._open(self.host, "10.1.0.2", 0)

    def close(self) -> None:
        """All sockets."""
        for each in self.sockets:
            each.close()

    def mapped(self, client: socket.socket, server: tuple[str, int]) -> tuple[str, int] | None:
        """Where *server* sees the client; None: not at all."""
        client.sendto(b"ask", server)
        try:
            _, (host, port) = self.servers[server].recvfrom(100)
        except TimeoutError:
            return None
        return host, port

    def reaches(self, server: tuple[str, int], client: socket.socket, at: tuple[str, int]) -> bool:
        """Whether what *server* sends to a mapped address comes in."""
        self.servers[server].sendto(b"tell", at)
        try:
            return client.recv(100) == b"tell"
        except TimeoutError:
            return False

    def mapping(self) -> Behavior:
        """RFC 5780 section 4.3."""
        client = self.client()
        first, port, address = (self.mapped(client, server) for server in self.servers)
        if first is None:
            return Behavior.BLOCKED
        if first == port == address:
            return Behavior.ENDPOINT_INDEPENDENT
        return Behavior.ADDRESS_DEPENDENT if first == port else Behavior.ADDRESS_AND_PORT_DEPENDENT

    def filtering(self) -> Behavior:
        """RFC 5780 section 4.4."""
        client = self.client()
        at = self.mapped(client, (SERVER, 9001))
        if at is None:
            return Behavior.BLOCKED
        if self.reaches((OTHER, 9001), client, at):
            return Behavior.ENDPOINT_INDEPENDENT
        if self.reaches((SERVER, 9002), client, at):
            return Behavior.ADDRESS_DEPENDENT
        return Behavior.ADDRESS_AND_PORT_DEPENDENT


class NatTests(LabCase):
    """One router that becomes each kind in turn."""

    def setUp(self) -> None:
        super().setUp()
        self.probe = Probe(Segment(self.lab))
        self.addCleanup(self.probe.close)

    def test_every_kind_maps_and_filters_as_it_says(self) -> None:
        for kind in NatKind:
            self.probe.router.become(kind)
            self.probe.router.flush()
            seen = self.probe.mapping(), self.probe.filtering()
            self.assertEqual(seen, (kind.mapping, kind.filtering), kind)

    def test_a_peer_that_sends_first_does_not_change_the_mapping(self) -> None:
        """Otherwise a port-restricted NAT would be symmetric whenever the peer is faster."""
        client, (first, _, peer) = self.probe.client(), self.probe.servers
        at = self.router_address(client.getsockname()[1])
        self.assertFalse(self.probe.reaches(peer, client, at))
        self.assertEqual(self.probe.mapped(client, first), at)
        self.assertEqual(self.probe.mapped(client, peer), at)

    def router_address(self, port: int) -> tuple[str, int]:
        return self.probe.router.wan4, port

    def test_only_udp_is_blocked(self) -> None:
        server = self.lab.namespaces["server0"]
        with server.entered():
            listener = socket.create_server((SERVER, 7000))
        self.addCleanup(listener.close)
        self.probe.router.become(NatKind.UDP_BLOCKED)
        self.probe.host.tcp((SERVER, 7000)).close()

    def test_a_flush_leaves_a_symmetric_mapping_half_open(self) -> None:
        """Out by another port at once, and nothing comes in at the old one."""
        client, (server, *_) = self.probe.client(), self.probe.servers
        self.probe.router.become(NatKind.SYMMETRIC)
        before = self.probe.mapped(client, server)
        assert before is not None
        self.probe.router.flush()
        self.assertFalse(self.probe.reaches(server, client, before))
        after = self.probe.mapped(client, server)
        self.assertNotIn(after, (before, None))

    def test_a_flush_alone_changes_no_port_restricted_mapping_but_a_new_range_does(self) -> None:
        client, (server, *_) = self.probe.client(), self.probe.servers
        before = self.probe.mapped(client, server)
        self.probe.router.flush()
        self.assertEqual(self.probe.mapped(client, server), before)
        self.probe.router.new_port_range(PortRange(20000, 20999))
        after = self.probe.mapped(client, server)
        assert after is not None
        self.assertIn(after[1], range(20000, 21000))
        self.assertEqual(self.probe.mapping(), Behavior.ENDPOINT_INDEPENDENT)

    def test_a_replaced_router_has_another_address_and_the_machine_finds_it(self) -> None:
        client, (server, *_) = self.probe.client(), self.probe.servers
        before = self.probe.mapped(client, server)
        self.lab.remove("router")
        until(lambda: self.probe.mapped(client, server) is None, "the end of the old router")
        self.probe.segment.router("router2", NatKind.PORT_RESTRICTED, number=2, lan=1)
        after = until(lambda: self.probe.mapped(client, server), "the new router")
        self.assertEqual(after, (public4(2), after[1]))
        self.assertNotEqual(after, before)

    def test_ipv6_passes_a_router_untranslated_but_only_as_an_answer(self) -> None:
        self.probe.segment.inside(self.lab.namespace("six"), 1, v4=False, v6=True)
        near = self.lab.namespaces["six"].udp("2001:db8:1::2")
        far = self.lab.namespaces["server0"].udp("2001:db8::10")
        for each in (near, far):
            self.addCleanup(each.close)
        far.sendto(b"uninvited", near.getsockname()[:2])
        self.assertRaises(TimeoutError, near.recv, 100)
        near.sendto(b"ask", far.getsockname()[:2])
        _, seen = far.recvfrom(100)
        self.assertEqual(seen[:2], near.getsockname()[:2])
        far.sendto(b"answer", seen)
        self.assertEqual(near.recv(100), b"answer")
