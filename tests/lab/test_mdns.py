"""Names instead of addresses on one LAN: real sockets in the group of every link."""

from __future__ import annotations

import socket
import struct
import sys
import threading
from functools import partial

from tests.lab.capture import Capture
from tests.lab.case import LabCase
from tests.lab.daemons import SOURCES, Daemon, start_all
from tests.lab.namespaces import Namespace

GROUP, PORT = "224.0.0.251", 5353

ASK = (
    "env",
    f"PYTHONPATH={SOURCES / 'src'}",
    sys.executable,
    "-c",
    """
import sys
from twisted.internet import reactor
from twisted.internet.defer import gatherResults
from refreeze.net.interfaces import system_hosts
from refreeze.net.mdns import MdnsResolver
from refreeze.net.mdnsgroup import MdnsGroup, SystemLinks

group = MdnsGroup(opener=SystemLinks(reactor), hosts=system_hosts, clock=reactor)
resolver = MdnsResolver(group=group, clock=reactor)
asked = [resolver.resolve(name) for name in sys.argv[1:]]
for each in asked:
    each.addCallbacks(" ".join, lambda failure: failure.value.reason)
all_of_them = gatherResults(asked)
all_of_them.addCallback(lambda found: print(*found, sep="\\n"))
all_of_them.addBoth(lambda _: reactor.stop())
reactor.run()
""",
)


class HiddenCandidates(LabCase):
    """Two daemons that tell each other no address, as two browsers would."""

    def daemons(self, **gathering: dict[str, bool]) -> list[Daemon]:
        """Both on one cable, with a hub; *gathering* by name."""
        hosts = [self.lab.namespace(name) for name in ("alice", "bob")]
        self.lab.cable(hosts[0], "lan", hosts[1], "lan")
        for number, host in enumerate(hosts, 1):
            host.ip(
                f"addr add 10.7.0.{number}/24 dev lan", f"addr add 2001:db8:7::{number}/64 dev lan"
            )
        hub = f"unix:{self.lab.directory}/hub.sock"
        made = [Daemon(self.lab, self.lab.namespace("hub"), "hub", {"hub": {"serve": hub}})]
        for host, peer in zip(hosts, ("bob", "alice"), strict=True):
            session = {"peer": peer, "protect": "none", "listen": "127.0.0.1:7001"}
            config = {
                "hub": {"connect": hub},
                "gathering": gathering.get(host.name, {}),
                "sessions": {"link": session},
            }
            made.append(Daemon(self.lab, host, host.name, config))
        return made

    def is_complete(self, daemon: Daemon) -> bool:
        return daemon.state("link") == "completed"

    def test_they_connect_and_no_address_is_told(self) -> None:
        hub, alice, bob = self.daemons(alice={"mdns": True}, bob={"mdns": True})
        capture = Capture(alice.namespace, "lan")
        capture.start()
        start_all(hub, alice, bob)
        for each in (alice, bob):
            each.wait(partial(self.is_complete, each), "a nominated pair", 10.0)
        capture.stop()
        # Who is slower to resolve meets the other as a peer-reflexive one first.
        types = [each.pair("link")["types"] for each in (alice, bob)]
        self.assertTrue(any(each.endswith("/host") for each in types), types)
        asked = capture.lines("mdns && dns.flags.response == 0", "dns.qry.name")
        self.assertTrue(asked)
        self.assertTrue(all(name.endswith(".local") for name in asked), asked)
        answers = capture.lines("mdns && dns.flags.response == 1", "dns.a", "dns.aaaa")
        self.assertTrue(any("10.7.0." in line for line in answers), answers)
        self.assertEqual(capture.lines("mdns && _ws.malformed", "frame.number"), [])
        self.assertEqual(capture.malformed(), [])

    def test_goodbye_is_said_to_every_name_at_the_end(self) -> None:
        hub, alice, bob = self.daemons(alice={"mdns": True})
        capture = Capture(bob.namespace, "lan")
        capture.start()
        start_all(hub, alice, bob)
        alice.wait_up("link", 10.0)
        alice.stop()
        capture.stop()
        answered = "mdns && dns.flags.response == 1 && ip && "
        told = set(capture.lines(answered + "dns.resp.ttl == 120", "dns.resp.name"))
        gone = set(capture.lines(answered + "dns.resp.ttl == 0", "dns.resp.name"))
        self.assertTrue(gone)
        self.assertLessEqual(gone, {name for line in told for name in line.split(",")})


class Stranger:
    """A responder that is not ours and takes one question of a message, as Chromium's does."""

    def __init__(self, host: Namespace, address: str, names: dict[str, str]) -> None:
        self._names = names
        with host.entered():
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("", PORT))
        joined = socket.inet_aton(GROUP) + socket.inet_aton(address)
        self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, joined)
        self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, joined[4:])
        self._socket.settimeout(0.1)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        """At the end of a test."""
        self._over.set()
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                data, _source = self._socket.recvfrom(9000)
            except TimeoutError:
                continue
            answer = self._answer(data)
            if answer is not None:
                self._socket.sendto(answer, (GROUP, PORT))

    def _answer(self, data: bytes) -> bytes | None:
        _id, flags, questions = struct.unpack_from("!3H", data)
        if flags & 0x8000 or questions != 1:
            return None
        name = data[12 : data.index(0, 12) + 1]
        kind = struct.unpack_from("!H", data, 12 + len(name))[0]
        label = name[1 : 1 + name[0]].decode()
        if kind != 1 or label not in self._names:
            return None
        record = struct.pack("!HHIH", 1, 0x8001, 120, 4) + socket.inet_aton(self._names[label])
        return struct.pack("!6H", 0, 0x8400, 0, 1, 0, 0) + name + record


class ForeignResponder(LabCase):
    """Somebody else's names."""

    def test_a_name_that_another_program_answers_for_is_an_address(self) -> None:
        """Our resolver runs where another program has port 5353 already."""
        asking, other = self.lab.namespace("asking"), self.lab.namespace("other")
        self.lab.cable(asking, "lan", other, "lan")
        asking.ip("addr add 10.7.0.1/24 dev lan")
        other.ip("addr add 10.7.0.2/24 dev lan")
        known = {"6a2f5dd0": "10.7.0.2", "unasked": "10.7.0.66"}
        for host, address, names in ((other, "10.7.0.2", known), (asking, "10.7.0.1", {})):
            stranger = Stranger(host, address, names)
            self.addCleanup(stranger.stop)
        output = asking.run(*ASK, "6a2f5dd0.local", "nobody.local")
        self.assertEqual(output.split("\n")[:2], ["10.7.0.2", "unresolved"])
