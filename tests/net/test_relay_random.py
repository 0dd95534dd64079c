"""Random misfortunes of servers, networks and credentials: relays come back, nothing is left."""

from __future__ import annotations

import os
from collections.abc import Callable

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from refreeze.net.relays import RelayLease
from refreeze.net.servers import IceServer
from refreeze.stun import Method
from refreeze.testing import LinkSettings, SeededRandom, VirtualWorld
from refreeze.testing.servers import FakeTurnServer, Lie
from tests.net.relaying import CLIENT, NAME, SERVER, URL, Site, Watcher
from tests.testing.desk import Ear

RUNS = int(os.environ.get("REFREEZE_SCHEDULES", "8"))
SEED = os.environ.get("REFREEZE_SEED", "relays")
STEPS = 40
HEALED = 12.0
"""Seconds in which everything is there again once nothing is in the way: a suspicion takes 3 s,
and the attempt after it begins 4 s after the one before at the latest."""
URLS = (URL, f"{URL}?transport=tcp", "turn:203.0.113.30")


class Story:
    """One schedule: sessions come and go, servers suffer, and then all is well."""

    def __init__(self, seed: str) -> None:
        self.random = SeededRandom(seed)
        self.world = VirtualWorld(seed, link=LinkSettings(delay=0.02, jitter=0.01, loss=0.02))
        self.network = self.world.network
        self.world.reactor.nameResolver.table[NAME] = SERVER
        self.site = Site(self.world)
        self.servers: list[FakeTurnServer] = [
            self.world.turn_server(self.network.host("server", SERVER)),
            self.world.turn_server(self.network.host("second", ["203.0.113.30"])),
        ]
        self.password = "secret"
        self.configure()
        self.leases: dict[str, tuple[RelayLease, Watcher]] = {}
        self.number = 0

    def configure(self) -> None:
        self.site.servers["here"] = IceServer(urls=URLS, username="user", credential=self.password)

    # What can happen

    def come(self) -> None:
        if len(self.leases) < 12:
            self.number += 1
            session = f"s{self.number}"
            peer = f"peer{self.random.randrange(4)}"
            self.leases[session] = self.site.lease(peer=peer, session=session)

    def go(self) -> None:
        if self.leases:
            self.leases.pop(self.random.choice(sorted(self.leases)))[0].release()

    def restart(self) -> None:
        for lease, _watcher in self.leases.values():
            lease.refresh()

    def suspect(self) -> None:
        for relay in self.site.pool.relays:
            relay.verify()

    def send(self) -> None:
        for port in list(self.site.mux.ports.values()):
            port.send([(b"\x80x", ("203.0.113.77", 7000), 0)] * 3)

    def kill(self) -> None:
        self.random.choice(self.servers).kill()

    def start(self) -> None:
        self.random.choice(self.servers).restart()

    def forget(self) -> None:
        self.random.choice(self.servers).forget()

    def expire(self) -> None:
        self.random.choice(self.servers).expire_nonces()

    def hang_up(self) -> None:
        self.random.choice(self.servers).hang_up()

    def refuse(self) -> None:
        method = self.random.choice([Method.ALLOCATE, Method.REFRESH, Method.CREATE_PERMISSION])
        code = self.random.choice([400, 437, 438, 441, 500])
        self.random.choice(self.servers).refuse(method, code, self.random.randrange(1, 4))

    def lie(self) -> None:
        self.random.choice(self.servers).lies.add(self.random.choice(list(Lie)))

    def cut(self) -> None:
        self.network.blackhole(
            self.random.choice([*CLIENT, *SERVER]), None, seconds=self.random.uniform(0.5, 20.0)
        )

    def rotate(self) -> None:
        self.password = f"secret{self.random.randrange(1000)}"
        for server in self.servers:
            server.rotate_credentials({"user": self.password})
        self.configure()
        self.site.pool.reconfigured()

    def move(self) -> None:
        """The address goes, and comes back."""
        if CLIENT[0] in self.site.host.interfaces:
            self.site.host.remove_address(CLIENT[0])
        else:
            self.site.host.add_address(CLIENT[0])
        self.site.pool.look()

    def sleep(self) -> None:
        seconds = self.random.uniform(3.0, 900.0)
        self.site.suspend(seconds)
        self.world.reactor.advance(seconds)

    def step(self) -> str:
        often: list[Callable[[], None]] = [
            self.come,
            self.go,
            self.restart,
            self.suspect,
            self.send,
        ]
        rare: list[Callable[[], None]] = [
            self.kill, self.start, self.forget, self.expire, self.hang_up, self.refuse,
            self.lie, self.cut, self.rotate, self.move, self.sleep,
        ]  # fmt: skip
        action = self.random.choice(often if self.random.random() < 0.5 else rare)
        action()
        self.world.reactor.advance(self.random.choice([0.0, 0.01, 0.1, 1.0, 5.0, 60.0]))
        return action.__name__

    def heal(self) -> None:
        self.network.heal()
        self.network.default(evolve(self.world.link, loss=0.0, jitter=0.0))
        if CLIENT[0] not in self.site.host.interfaces:
            self.site.host.add_address(CLIENT[0])
        for server in self.servers:
            server.lies.clear()
            for method in (Method.ALLOCATE, Method.REFRESH, Method.CREATE_PERMISSION):
                server.accept(method)
            if not server.running:
                server.start()
        self.site.pool.look()
        self.site.pool.reconfigured()
        self.suspect()


class RandomTests(SynchronousTestCase):
    """Each seed is a schedule; a failure tells it."""

    def test_T33_T34_whatever_happens_relays_come_back_and_nothing_is_left(self) -> None:
        for number in range(RUNS):
            seed = f"{SEED}/{number}"
            story = Story(seed)
            told: list[str] = []
            try:
                for _ in range(STEPS):
                    told.append(story.step())
                    self.check_bounds(story)
                story.heal()
                self.check_healed(story)
                self.check_closed(story)
            except Exception:
                print(f"REFREEZE_SEED={SEED}, schedule {number}: {' '.join(told)}")
                raise

    def check_bounds(self, story: Story) -> None:
        """Ports in the mux are those of relays that have them; sockets are not hoarded."""
        pool, mux = story.site.pool, story.site.mux
        there = {port.local for relay in pool.relays for port in relay.ports}
        leaving = {base for relay in pool.relays for base in relay.leaving}
        self.assertEqual(set(mux.ports), there | leaving)
        self.assertFalse([port for port in mux.ports.values() if port.broken])
        self.assertLessEqual(
            story.site.sockets, 8 * len(pool.relays) + len(pool.tools.releases) + 8
        )

    def check_healed(self, story: Story) -> None:
        """Everybody who wants one has one, and it carries data."""
        story.come()
        pool = story.site.pool
        story.world.reactor.advance(HEALED)
        missing = [(str(r.url), r.state, r.problem) for r in pool.relays if not r.ports]
        self.assertEqual(missing, [])
        ear = Ear(story.network.host("peer", ["203.0.113.77"]), ("203.0.113.77", 7000))
        for _ in range(8):
            story.send()  # a permission that was refused is asked for again after 30 s
            story.world.reactor.advance(5.0)
        four = {base for base in story.site.mux.ports if ":" not in base[0]}
        self.assertLessEqual(
            {port.local for relay in pool.relays for port in relay.ports} & four, set(ear.sources)
        )

    def check_closed(self, story: Story) -> None:
        """Nothing is open here, nor allocated there that was reachable at the end."""
        done = story.site.pool.close()
        story.world.reactor.advance(3.0)
        self.successResultOf(done)
        self.assertEqual((story.site.sockets, len(story.site.pool.tools.releases)), (0, 0))
        orphans = {each.flow.remote for server in story.servers for each in server.allocations}
        story.world.reactor.advance(3600.0)
        left = [each for server in story.servers for each in server.allocations]
        self.assertEqual(left, [], orphans)
