"""Numbers for peers: when they are asked for, whose they are, when they may be another's."""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from refreeze.stun import (
    Method,
    RequestTemplate,
    encode_indication,
    encode_success,
    short_term_key,
)
from refreeze.turn import Allocated, AllocationState, ChannelBound, TurnSettings
from refreeze.turn.data import FIRST_CHANNEL, LAST_CHANNEL, deserves_channel, encode_channel_data
from tests.turn.duet import DATA, PEER, Duet
from tests.turn.server import data_indication

KEY = short_term_key("0123456789abcdefghijkl")
CHECK = RequestTemplate(
    username="a:b", key=KEY, priority=1, controlling=True, tie_breaker=1
).encode(bytes(12))
ANSWER = encode_success(bytes(12), PEER, KEY)


def peer(number: int) -> tuple[str, int]:
    return f"203.0.{number >> 8}.{number & 255}", 6000


class BindingTests(SynchronousTestCase):
    def test_checks_do_not_bind_a_channel(self) -> None:
        """They go to every candidate of a peer; data goes to one."""
        duet = Duet().ready(PEER)
        for _ in range(5):
            for payload in (CHECK, ANSWER, encode_indication(bytes(12))):
                self.assertTrue(duet.send(payload))
            duet.run(1.0)
        self.assertEqual(duet.server.count(Method.CHANNEL_BIND), 0)
        self.assertEqual({kind for _, _, kind in duet.at_peers}, {"indication"})

    def test_whatever_is_no_stun_is_data(self) -> None:
        """WireGuard's first byte is 1 to 4, STUN's 0 to 3: the cookie tells."""
        for payload in (
            b"",
            b"\x01\x00\x00\x00" + bytes(144),
            b"\x80",
            b"\x16\xfe\xfd",
            CHECK[:19],
        ):
            self.assertTrue(deserves_channel(payload))
        self.assertFalse(deserves_channel(CHECK))

    def test_the_first_data_binds_it_and_checks_use_it_then(self) -> None:
        duet = Duet().ready(PEER)
        duet.send()
        duet.run(1.0)
        duet.send(CHECK)
        duet.run(1.0)
        self.assertEqual(duet.at_peers[-1], (PEER, CHECK, "channel"))

    def test_data_that_is_only_received_binds_it_too(self) -> None:
        """We send checks, the peer sends data."""
        duet = Duet().ready(PEER)
        duet.send(CHECK)
        for _ in range(3):
            duet.from_peer(b"\x80data")
            duet.run(1.0)
        self.assertEqual(duet.server.count(Method.CHANNEL_BIND), 1)
        self.assertEqual(len(duet.received), 3)
        self.assertEqual(duet.told[-1], ChannelBound(PEER))

    def test_what_others_send_from_a_host_binds_nothing(self) -> None:
        """Whoever sends from a thousand ports takes no number."""
        duet = Duet().ready(PEER)
        duet.send(CHECK)
        for port in range(1, 1000):
            duet.from_peer(b"\x80data", (PEER[0], port))
        duet.run(1.0)
        self.assertEqual(duet.server.count(Method.CHANNEL_BIND), 0)
        self.assertEqual(len(duet.received), 999)

    def test_a_server_that_does_not_use_what_it_bound_is_not_asked_again(self) -> None:
        duet = Duet().ready(PEER)
        duet.send()
        duet.run(1.0)
        for _ in range(10):
            duet.arrive(data_indication(PEER, b"\x80data"))
            duet.run(1.0)
        self.assertEqual(duet.server.count(Method.CHANNEL_BIND), 1)

    def test_data_goes_in_indications_until_it_is_bound(self) -> None:
        """RFC 8656 section 12.1: both may be mixed, and one request is enough."""
        duet = Duet().ready(PEER)
        for _ in range(4):
            duet.send()
            duet.run(0.01)
        duet.run(1.0)
        duet.send()
        duet.run(1.0)
        kinds = [kind for _, _, kind in duet.at_peers]
        self.assertEqual(kinds, ["indication"] * 4 + ["channel"])
        self.assertEqual(duet.server.count(Method.CHANNEL_BIND), 1)

    def test_the_permission_comes_first(self) -> None:
        """T31: what waited for the permission asks for the channel when it is there."""
        duet = Duet().ready()
        for _ in range(3):
            self.assertTrue(duet.send())
        duet.run(0.03)
        self.assertEqual(duet.server.count(Method.CHANNEL_BIND), 0)
        duet.run(1.0)
        self.assertEqual(duet.server.count(Method.CHANNEL_BIND), 1)
        self.assertEqual(len(duet.at_peers), 3)
        self.assertEqual(duet.server.faults, [])

    def test_ports_of_one_host_have_channels_of_their_own(self) -> None:
        duet = Duet().ready()
        for port in (1, 2, 3):
            duet.send(peer=(PEER[0], port))
        duet.run(1.0)
        self.assertEqual(duet.server.count(Method.CREATE_PERMISSION), 1)
        self.assertEqual(sorted(duet.server.channels), [0x4000, 0x4001, 0x4002])

    def test_data_that_overtakes_the_answer_is_taken(self) -> None:
        """The server has bound the channel before we know that it has."""
        duet = Duet().ready(PEER)
        duet.send()
        duet.arrive(encode_channel_data(0x4000, b"early", False))
        self.assertEqual(duet.received, [(4, PEER, b"early")])

    def test_a_refused_bind_that_was_bound_all_the_same_is_no_way_in(self) -> None:
        duet = Duet().ready(PEER)
        duet.server.scripted[int(Method.CHANNEL_BIND)] = [403]
        duet.send()
        duet.run(1.0)
        duet.arrive(encode_channel_data(0x4000, b"x", False))
        self.assertEqual(duet.received, [])
        self.assertEqual(duet.allocation.dropped["unbound-channel"], 1)


class NumberTests(SynchronousTestCase):
    def test_a_number_rests_for_five_minutes(self) -> None:
        """T31: it is no other peer's while the server may still know it (RFC 8656 12.1)."""
        settings = TurnSettings(channels=2, keep_idle=60.0)
        duet = Duet(settings=settings).ready(peer(1), peer(2), peer(3))
        duet.send(peer=peer(1))
        duet.send(peer=peer(2))
        duet.run(1.0)
        bound_at = duet.now
        while True:
            duet.send(peer=peer(3))
            duet.run(5.0)
            if duet.told[-1] == ChannelBound(peer(3)):
                break
            self.assertLess(duet.now - bound_at, 1000.0)
        self.assertGreater(duet.now - bound_at, 895.0)
        self.assertGreater(duet.allocation.dropped["no-free-channel"], 100)
        self.assertEqual(duet.server.faults, [])

    def test_the_same_peer_gets_its_number_again(self) -> None:
        """T31: also while it rests."""
        duet = Duet(settings=TurnSettings(keep_idle=60.0)).ready(peer(1), peer(2))
        for each in (peer(1), peer(2)):
            duet.send(peer=each)
        duet.run(700.0)
        for _ in range(2):
            duet.send(peer=peer(2))
            duet.run(1.0)
        self.assertEqual(duet.at_peers[-1], (peer(2), DATA, "channel"))
        self.assertEqual(duet.server.numbers[0x4001][0], peer(2))
        self.assertEqual(duet.server.faults, [])

    def test_numbers_go_round(self) -> None:
        """The last one given is the last one to be given again."""
        settings = TurnSettings(keep_idle=60.0, channels=4096, permissions=4096)
        duet = Duet(settings=settings).ready()
        duet.allocation._channels._last = LAST_CHANNEL - 1
        for n in (1, 2):
            duet.send(peer=peer(n))
        duet.run(1.0)
        self.assertEqual(sorted(duet.server.channels), [FIRST_CHANNEL, LAST_CHANNEL])

    def test_every_number_in_use(self) -> None:
        settings = TurnSettings(channels=4096, permissions=4096, waiting_hosts=4096, in_flight=256)
        duet = Duet(settings=settings, delay=0.0).ready()
        for n in range(4097):
            duet.send(peer=(PEER[0], n + 1))
            if n % 256 == 0:
                duet.run(0.0)
        duet.run(1.0)
        self.assertEqual(len(duet.server.channels), 4096)
        self.assertEqual(duet.allocation.dropped["no-free-channel"], 1)
        self.assertTrue(duet.send(peer=(PEER[0], 4097)))
        self.assertIs(duet.allocation.state, AllocationState.READY)
        self.assertEqual(duet.server.faults, [])

    def test_random_use_never_takes_a_number_from_its_peer(self) -> None:
        """T31: the model server calls every misuse a fault."""
        seed = Random().getrandbits(32)
        random = Random(seed)
        settings = TurnSettings(channels=8, keep_idle=60.0)
        duet = Duet(settings=settings, seed=seed).ready()
        for _ in range(1500):
            duet.send(peer=peer(random.randrange(20)))
            duet.run(random.choice((0.01, 1.0, 20.0, 100.0, 400.0)))
        self.assertEqual(duet.server.faults, [], f"seed {seed}")
        self.assertEqual(duet.told[0], Allocated())
        self.assertGreater(len(duet.told), 20, f"seed {seed}")
