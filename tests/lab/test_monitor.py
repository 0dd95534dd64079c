"""What a real kernel tells of addresses, links and routes, and what is read of it then."""

from __future__ import annotations

import json
import sys
from functools import partial
from typing import Any

from refreeze.net.udp import UdpPortFactory
from tests.lab.case import LabCase
from tests.lab.commands import until
from tests.lab.daemons import SOURCES
from tests.lab.namespaces import Namespace
from tests.net.sockets import FakeReactor

WATCH = (
    "env",
    f"PYTHONPATH={SOURCES / 'src'}",
    sys.executable,
    "-u",
    "-c",
    """
import json
import sys
from twisted.internet import reactor
from refreeze.net.interfaces import AddressSettings, choose_hosts, system_hosts
from refreeze.net.netlink import AddressMonitor
from refreeze.net.routes import ANYWHERE, route_via

def show():
    hosts = choose_hosts(AddressSettings(), system_hosts())
    ways = {host: route_via(host, ANYWHERE[":" in host]) for host in hosts}
    near = {host: route_via(host, "10.7.0.9") for host in hosts if ":" not in host}
    print(json.dumps({"hosts": hosts, "ways": ways, "near": near}))

monitor = AddressMonitor(reactor)
monitor.on_change(show)
assert monitor.start()
show()
reactor.callLater(60, reactor.stop)
reactor.run()
""",
)
ONE, TWO, SIX = "10.7.0.1", "10.8.0.1", "2001:db8:7::1"


class MonitorTests(LabCase):
    """A machine with two uplinks and a program that shows what it sees at every change."""

    def setUp(self) -> None:
        super().setUp()
        self.host, other = self.lab.namespace("host"), self.lab.namespace("other")
        for number in (7, 8):
            self.lab.cable(self.host, f"up{number}", other, f"end{number}")
            self.host.ip(f"addr add 10.{number}.0.1/24 dev up{number}")
        self.host.ip("route add default via 10.7.0.254 dev up7 metric 100")
        log = self.lab.directory / "watch.log"
        self.host.start(WATCH, log)
        self.log = log
        until(lambda: self.told() > 0, "the watching program")

    def told(self) -> int:
        """How often something was shown."""
        return len(self.log.read_text().splitlines())

    @property
    def now(self) -> dict[str, Any]:
        """What was shown last."""
        shown: dict[str, Any] = json.loads(self.log.read_text().splitlines()[-1])
        return shown

    def is_last(self, host: str) -> bool:
        return bool(self.now["hosts"][-1] == host)

    def test_an_address_that_comes_and_a_link_that_goes(self) -> None:
        self.assertEqual(set(self.now["hosts"]), {ONE, TWO})
        self.host.ip("addr add 10.8.0.77/24 dev up8")
        until(lambda: "10.8.0.77" in self.now["hosts"], "the new address")
        self.host.ip("link set up8 down")
        until(lambda: self.now["hosts"] == [ONE], "the link that went")

    def test_a_default_route_by_another_router_or_interface(self) -> None:
        near = self.now["near"][ONE]
        seen = {self.now["ways"][ONE]}
        for route in (
            "replace default via 10.7.0.253 dev up7 metric 100",
            "add default via 10.8.0.254 dev up8 metric 50",
        ):
            self.host.ip(f"route {route}")
            until(lambda: self.now["ways"][ONE] not in {*seen, None}, route)
            seen.add(self.now["ways"][ONE])
            self.assertEqual(self.now["near"][ONE], near)

    def test_a_default_route_that_goes(self) -> None:
        self.host.ip("route del default via 10.7.0.254 dev up7")
        until(lambda: self.now["ways"][ONE] is None, "the route that went")

    def test_a_rule_that_sends_one_address_another_way(self) -> None:
        """As wg-quick and two uplinks with a table each have it."""
        before = self.now["ways"]
        self.host.ip(
            "route add default via 10.8.0.254 dev up8 table 8",
            f"rule add from {TWO} lookup 8",
        )
        until(lambda: self.now["ways"][TWO] != before[TWO], "the rule")
        self.assertEqual(self.now["ways"][ONE], before[ONE])

    def test_routes_to_small_places_are_no_news(self) -> None:
        before = self.told()
        self.host.ip(*[f"route add 192.0.{each}.0/24 via 10.7.0.254" for each in range(3, 200)])
        self.host.ip("route add 2001:db8:ff::/48 dev up7")
        self.host.ip("addr add 10.8.0.77/24 dev up8")
        until(lambda: "10.8.0.77" in self.now["hosts"], "the address after them")
        self.assertLessEqual(self.told() - before, 4)

    def test_a_tentative_address_is_not_offered_before_it_can_be_bound(self) -> None:
        self.host.set({"net/ipv6/conf/all/accept_dad": "1", "net/ipv6/conf/up7/accept_dad": "1"})
        before = self.told()
        self.host.ip(f"addr add {SIX}/64 dev up7")
        until(lambda: SIX in self.now["hosts"], "the end of duplicate address detection")
        shown = [json.loads(line) for line in self.log.read_text().splitlines()[before:]]
        self.assertNotIn(SIX, shown[0]["hosts"])

    def test_a_deprecated_address_comes_last(self) -> None:
        self.host.ip(f"addr add {SIX}/64 dev up7")
        until(lambda: SIX in self.now["hosts"], "the first address")
        self.host.ip(f"addr add {SIX}9/64 dev up7")
        until(lambda: f"{SIX}9" in self.now["hosts"], "the second address")
        for young, old in ((SIX, f"{SIX}9"), (f"{SIX}9", SIX)):
            self.host.ip(
                f"addr change {young}/64 dev up7 preferred_lft forever",
                f"addr change {old}/64 dev up7 preferred_lft 0",
            )
            until(partial(self.is_last, old), f"{old} at the end")


class FirewallTests(LabCase):
    """T36, with a real firewall of one's own."""

    def machine(self) -> Namespace:
        host, other = self.lab.namespace("host"), self.lab.namespace("other")
        self.lab.cable(host, "lan", other, "lan")
        host.ip("addr add 10.7.0.1/24 dev lan")
        other.ip("addr add 10.7.0.2/24 dev lan")
        return host

    def test_T36_what_it_refuses_is_an_error_of_the_send_and_the_socket_is_good(self) -> None:
        host = self.machine()
        reactor: Any = FakeReactor()
        with host.entered():
            port = UdpPortFactory(reactor).open_udp("10.7.0.1")
        self.addCleanup(port.close)
        packets = [(b"x", ("10.7.0.2", 9), 0)] * 50
        host.nft("table inet own { chain out { type filter hook output priority 0; drop; }; }")
        self.assertEqual(port.send(packets), 0)
        self.assertEqual((port.counters.last_send_error, port.broken), ("EPERM", None))
        host.nft("flush ruleset")
        self.assertGreater(port.send(packets), 0)

    def test_T35_an_address_that_went_is_an_error_of_the_send(self) -> None:
        host = self.machine()
        reactor: Any = FakeReactor()
        with host.entered():
            port = UdpPortFactory(reactor).open_udp("10.7.0.1")
        self.addCleanup(port.close)
        host.ip("addr del 10.7.0.1/24 dev lan", "addr add 10.7.0.3/24 dev lan")
        self.assertEqual(port.send([(b"x", ("10.7.0.2", 9), 0)]), 0)
        self.assertIn(port.counters.last_send_error, {"EINVAL", "EADDRNOTAVAIL", "ENETUNREACH"})
