"""A peer connection of ours as the browser, a whole daemon, and nothing but HTTP between them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.signaling.http.browser import GOOD, Street


class ExchangeTests(SynchronousTestCase):
    """In virtual time; DTLS and ICE are whole."""

    def street(self, offerer: str | None = None) -> Street:
        """One that leaves nothing behind."""
        street = Street(offerer)
        self.addCleanup(lambda: self.assertEqual(street.end(), []))
        return street

    def test_a_browser_connects_and_everything_trickled_is_taken(self) -> None:
        street = self.street()
        street.connect()
        self.assertEqual({reply.status for reply in street.browser.replies}, {201, 204})
        self.assertEqual(street.session.counters["late-candidates"], 0)
        self.assertTrue(street.session.peer_online)
        record = street.session.book.count
        street.live(40.0)
        self.assertEqual(street.session.book.count, record)

    def test_the_browser_restarts_on_the_path_that_is_there(self) -> None:
        street = self.street()
        street.connect()
        rounds, generation = street.session.book.count, len(street.of("session.pair"))
        self.assertEqual(street.browser.restart().status, 200)
        street.live(3.0)
        self.assertTrue(street.connected())
        self.assertEqual(street.session.book.count, rounds + 1)
        self.assertGreater(len(street.of("session.pair")), generation)
        self.assertEqual(street.of("signal.refused"), [])
        self.assertEqual(street.of("round.done")[-1]["outcome"], "succeeded")

    def test_the_daemon_restarts_by_the_stream(self) -> None:
        street = self.street()
        street.connect()
        etag = street.browser.etag
        street.operate()
        street.live(3.0)
        self.assertTrue(street.connected())
        self.assertNotEqual(street.browser.etag, etag)
        self.assertEqual(street.of("round.done")[-1]["outcome"], "succeeded")

    def test_one_after_another_from_both_sides(self) -> None:
        """An offer of the browser's is made of its answers, too."""
        street = self.street()
        street.connect()
        for _ in range(3):
            street.operate()
            street.live(3.0)
            self.assertEqual(street.browser.restart().status, 200)
            street.live(3.0)
            self.assertTrue(street.connected())
        outcomes = [done["outcome"] for done in street.of("round.done")]
        self.assertEqual(outcomes, ["succeeded"] * 7)

    def test_both_at_once_and_the_daemons_offer_stands_t11(self) -> None:
        street = self.street()
        street.connect()
        street.operate()
        street.advance(0.02)
        self.assertEqual(street.browser.restart().status, 409)
        street.live(3.0)
        self.assertTrue(street.connected())
        self.assertEqual(street.of("round.done")[-1]["outcome"], "succeeded")

    def test_a_page_that_is_loaded_again_gets_an_answer_while_the_daemon_offers(self) -> None:
        """Its offer was for somebody who is gone."""
        street = self.street()
        street.connect()
        street.operate()
        street.advance(0.05)
        street.browser.reload(street.side())
        began = street.world.reactor.seconds()
        self.assertEqual(street.browser.begin().status, 201)
        self.assertLess(street.world.reactor.seconds() - began, 1.0)
        street.live(3.0)
        self.assertTrue(street.connected())

    def test_a_page_that_is_loaded_again_is_a_new_session_on_the_same_one(self) -> None:
        street = self.street()
        street.connect()
        for _ in range(2):
            street.browser.reload(street.side())
            street.advance(1.0)
            self.assertEqual(street.browser.begin().status, 201)
            street.live(4.0)
            self.assertTrue(street.connected())

    def test_out_of_failed_by_the_watchdog(self) -> None:
        street = self.street()
        street.connect()
        hole = street.world.network.blackhole("192.0.2.2")
        street.live(45.0)
        self.assertNotIn(street.session.state, GOOD)
        hole.end()
        street.live(40.0)
        self.assertTrue(street.connected())

    def test_a_client_that_leaves_and_comes_back(self) -> None:
        street = self.street()
        street.connect()
        self.assertEqual(street.browser.client.ask("DELETE", street.browser.place).status, 200)
        street.browser.reload(street.side())
        street.advance(60.0)
        self.assertFalse(street.session.peer_online)
        street.browser.begin()
        street.live(4.0)
        self.assertTrue(street.connected())

    def test_a_daemon_that_was_killed_is_another_and_the_browser_comes_again(self) -> None:
        street = self.street()
        street.connect()
        place = street.browser.place
        street.kill()
        self.assertEqual(street.browser.client.ask("DELETE", place).status, 404)
        street.settle(5.0)
        self.assertTrue(street.agreed())

    def test_a_daemon_that_stops_says_so_on_the_stream(self) -> None:
        street = self.street()
        street.connect()
        stream = street.browser.stream
        assert stream is not None
        stopped = street.gate.stopService()
        street.advance(0.5)
        self.assertEqual(stream.events[-1], ("gone", {"reason": "shutdown"}))
        self.assertTrue(stream.lost)
        self.assertTrue(stopped.called)

    def test_a_client_that_does_not_read_does_not_keep_a_daemon_from_stopping(self) -> None:
        street = self.street()
        street.connect()
        stream = street.browser.stream
        assert stream is not None
        assert stream.transport is not None
        stream.transport.pauseProducing()
        stopped = street.gate.stopService()
        street.advance(3.0)
        self.assertTrue(stopped.called)

    def test_where_the_browser_is_the_offerer_it_is_asked_to_restart(self) -> None:
        street = self.street("browser")
        street.connect()
        hole = street.world.network.blackhole("192.0.2.2")
        street.live(45.0)
        assert street.browser.stream is not None
        kinds = [kind for kind, _ in street.browser.stream.events]
        self.assertEqual(kinds[0], "restart-please")
        hole.end()
        self.assertEqual(street.browser.restart().status, 200)
        street.live(3.0)
        self.assertTrue(street.connected())
