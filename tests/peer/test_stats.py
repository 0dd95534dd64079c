"""getStats: W3C's records, their ids, and what must not be in them."""

from __future__ import annotations

import json
from base64 import b64decode
from hashlib import sha256

from twisted.trial.unittest import SynchronousTestCase

from refreeze.jsep import Description, InvalidAccessError
from refreeze.peer import RTCStats, RTCStatsReport
from refreeze.peer.dtls.context import _SUITES
from refreeze.peer.stats import _CIPHERS
from tests.peer.pair import GOOD, Side, Two
from tests.peer.scripts import ScriptCase, Trickler

KINDS = {
    "candidate-pair",
    "certificate",
    "local-candidate",
    "peer-connection",
    "remote-candidate",
    "transport",
}
REFERENCES = {
    "transportId": "transport",
    "localCandidateId": "local-candidate",
    "remoteCandidateId": "remote-candidate",
    "selectedCandidatePairId": "candidate-pair",
    "localCertificateId": "certificate",
    "remoteCertificateId": "certificate",
}
PER_GENERATION = ("candidate-pair", "local-candidate", "remote-candidate")
CANDIDATES = ("a=candidate", "a=end-of-candidates")


class StatsCase(SynchronousTestCase):
    """Two protected connections."""

    protect = True

    def setUp(self) -> None:
        self.two = Two(protect=self.protect)
        self.addCleanup(self.two.close)
        self.alice, self.bob = self.two.alice, self.two.bob

    def report(self, side: Side) -> RTCStatsReport:
        """As of now."""
        found = self.two.now(side.connection.getStats())
        assert isinstance(found, RTCStatsReport)
        return found

    def every(self, side: Side, kind: str) -> list[dict[str, object]]:
        """The records of one type, as JSON has them."""
        return [each.toJSON() for each in self.report(side).values() if each.type == kind]

    def one(self, side: Side, kind: str) -> dict[str, object]:
        """The only one of that type."""
        (found,) = self.every(side, kind)
        return found

    def selected(self, side: Side) -> dict[str, object]:
        """The record of the pair that the transport names."""
        report = self.report(side)
        transport = next(each.toJSON() for each in report.values() if each.type == "transport")
        return report[str(transport["selectedCandidatePairId"])].toJSON()


class ReportTests(StatsCase):
    """The report as a whole."""

    def test_before_any_exchange_there_are_transport_and_certificate(self) -> None:
        kinds = {each.type for each in self.report(self.alice).values()}
        self.assertEqual(kinds, {"certificate", "peer-connection", "transport"})
        transport = self.one(self.alice, "transport")
        self.assertEqual((transport["iceState"], transport["dtlsState"]), ("new", "new"))
        self.assertEqual((transport["iceRole"], transport["dtlsRole"]), ("unknown", "unknown"))
        self.assertEqual(transport["selectedCandidatePairChanges"], 0)
        self.assertNotIn("selectedCandidatePairId", transport)

    def test_once_connected_every_type_is_there_and_every_reference_leads_somewhere(self) -> None:
        self.two.exchange(self.alice, self.bob)
        for side in (self.alice, self.bob):
            report = self.report(side)
            self.assertEqual({each.type for each in report.values()}, KINDS)
            found = 0
            for key, record in report.items():
                members = record.toJSON()
                self.assertEqual((members["id"], members["type"]), (key, record.type))
                for name in REFERENCES.keys() & members.keys():
                    found += 1
                    self.assertEqual(report[str(members[name])].type, REFERENCES[name])
            self.assertGreater(found, len(REFERENCES))

    def test_it_can_be_sent_and_holds_no_password(self) -> None:
        self.two.exchange(self.alice, self.bob)
        self.two.offer(self.alice, restart=True)
        sent = json.dumps([each.toJSON() for each in self.report(self.alice).values()])
        shown = sent + repr(self.report(self.alice)) + repr(list(self.report(self.alice).values()))
        for generation in self.alice.transport.generations():
            agent = generation.agent
            for credentials in (agent.local, agent.remote):
                if credentials is not None:
                    self.assertIn(credentials.ufrag, sent)
                    self.assertNotIn(credentials.pwd, shown)

    def test_ids_stay_and_records_are_of_their_moment(self) -> None:
        self.two.exchange(self.alice, self.bob)
        before = self.report(self.alice)
        self.two.advance(30.0)
        after = self.report(self.alice)
        self.assertEqual(list(before), list(after))
        self.assertIsNot(before, after)
        moved = {each.timestamp for each in after.values()}
        self.assertEqual(len(moved), 1)
        self.assertAlmostEqual(moved.pop() - next(iter(before.values())).timestamp, 30_000, -1)

    def test_a_restarts_records_come_and_the_old_ones_go(self) -> None:
        self.two.exchange(self.alice, self.bob)
        old = {each.id for each in self.report(self.alice).values() if each.type in PER_GENERATION}
        self.two.offer(self.alice, restart=True)
        during = set(self.report(self.alice))
        self.assertLessEqual(old, during)
        self.two.now(self.alice.connection.setLocalDescription({"type": "rollback"}))
        self.two.exchange(self.alice, self.bob, restart=True)
        self.two.advance(10.0)
        new = {each.id for each in self.report(self.alice).values() if each.type in PER_GENERATION}
        self.assertEqual(old & new, set())
        self.assertEqual(len(new), len(old))
        collector = self.alice.connection._stats
        assert collector is not None
        self.assertEqual(len(collector._ids._known), len(new) + 2)  # and two certificates

    def test_a_selector_is_a_track_of_somebody_else(self) -> None:
        with self.assertRaises(InvalidAccessError):
            self.two.now(self.alice.connection.getStats(object()))

    def test_it_settles_in_a_task_and_after_close_too(self) -> None:
        self.two.exchange(self.alice, self.bob)
        settled: list[RTCStatsReport] = []
        self.alice.connection.close()
        self.alice.connection.getStats().addCallback(settled.append)
        self.assertEqual(settled, [])
        self.two.advance(0)
        (report,) = settled
        transport = next(each.toJSON() for each in report.values() if each.type == "transport")
        self.assertEqual((transport["iceState"], transport["dtlsState"]), ("closed", "closed"))

    def test_a_report_is_a_mapping_that_cannot_be_changed(self) -> None:
        report = self.report(self.alice)
        self.assertEqual(len(report), len(list(report)))
        self.assertNotIn("nothing", report)
        with self.assertRaises(TypeError):
            report["x"] = report["P"]  # type: ignore[index]  # that it is refused is the test
        record: RTCStats = report["P"]
        with self.assertRaises(AttributeError):
            record.timestamp = 1.0  # type: ignore[misc]  # likewise


class RecordTests(StatsCase):
    """What stands in them."""

    def setUp(self) -> None:
        super().setUp()
        self.two.exchange(self.alice, self.bob)

    def test_payload_is_counted_on_the_transport_and_on_the_pair(self) -> None:
        sent, pair = self.one(self.alice, "transport"), self.selected(self.alice)
        got = self.one(self.bob, "transport")
        self.alice.send(b"x" * 100, b"y" * 50)
        self.two.advance(0.5)
        for before, after in (
            (sent, self.one(self.alice, "transport")),
            (pair, self.selected(self.alice)),
        ):
            self.assertEqual(int(str(after["packetsSent"])) - int(str(before["packetsSent"])), 2)
            size = int(str(after["bytesSent"])) - int(str(before["bytesSent"]))
            self.assertTrue(150 < size < 300, size)  # in records of DTLS
        after = self.one(self.bob, "transport")
        self.assertEqual(int(str(after["packetsReceived"])) - int(str(got["packetsReceived"])), 2)
        self.assertEqual(int(str(after["bytesReceived"])) - int(str(got["bytesReceived"])), size)

    def test_a_transports_counts_are_of_its_whole_life(self) -> None:
        self.alice.send(b"one")
        for _ in range(2):
            self.two.exchange(self.alice, self.bob, restart=True)
            self.two.advance(10.0)
        self.alice.send(b"two")
        self.two.advance(0.5)
        for side, other in ((self.alice, self.bob), (self.bob, self.alice)):
            sent, got = self.one(side, "transport"), self.one(other, "transport")
            self.assertEqual(sent["packetsSent"], got["packetsReceived"])
            self.assertEqual(sent["bytesSent"], got["bytesReceived"])
        self.assertEqual(self.one(self.alice, "transport")["selectedCandidatePairChanges"], 3)

    def test_round_trips_are_those_of_answered_checks(self) -> None:
        self.two.advance(60.0)
        pair = self.selected(self.alice)
        total, latest = float(str(pair["totalRoundTripTime"])), pair["currentRoundTripTime"]
        mean = total / int(str(pair["responsesReceived"]))
        # A response to a check that was sent more than once measures nothing.
        self.assertTrue(0.5 < mean / float(str(latest)) <= 1.001, (mean, latest))

    def test_checks_and_consent_are_counted_apart(self) -> None:
        before = self.selected(self.alice)
        self.two.advance(60.0)
        after = self.selected(self.alice)
        self.assertEqual(before["requestsSent"], after["requestsSent"])
        consent = int(str(after["consentRequestsSent"])) - int(str(before["consentRequestsSent"]))
        self.assertTrue(9 <= consent <= 15, consent)
        self.assertEqual((after["state"], after["nominated"]), ("succeeded", True))

    def test_the_transport_names_its_association(self) -> None:
        roles = set()
        for side in (self.alice, self.bob):
            record = self.one(side, "transport")
            roles.add(record["dtlsRole"])
            self.assertEqual((record["dtlsState"], record["tlsVersion"]), ("connected", "FEFD"))
            self.assertEqual(record["dtlsCipher"], "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256")
            self.assertNotIn("srtpCipher", record)
            self.assertIn(record["iceState"], ("connected", "completed"))
            parameters = side.connection.iceTransport.getLocalParameters()
            assert parameters is not None
            self.assertEqual(record["iceLocalUsernameFragment"], parameters.usernameFragment)
        self.assertEqual(roles, {"client", "server"})

    def test_certificates_are_those_of_the_descriptions(self) -> None:
        seen = {}
        for side in (self.alice, self.bob):
            description = side.connection.localDescription
            assert description is not None
            transport = self.one(side, "transport")
            records = {each["id"]: each for each in self.every(side, "certificate")}
            local = records[str(transport["localCertificateId"])]
            remote = records[str(transport["remoteCertificateId"])]
            self.assertIn(f"a=fingerprint:sha-256 {local['fingerprint']}", description.sdp)
            digest = sha256(b64decode(str(local["base64Certificate"]))).digest()
            self.assertEqual(digest.hex(":").upper(), local["fingerprint"])
            self.assertEqual(local["fingerprintAlgorithm"], "sha-256")
            seen[side.host.name] = local["fingerprint"], remote["fingerprint"]
        self.assertEqual(seen["alice"], seen["bob"][::-1])

    def test_candidates_are_those_of_the_lists(self) -> None:
        transport = self.alice.connection.iceTransport
        for kind, shown in (
            ("local-candidate", transport.getLocalCandidates()),
            ("remote-candidate", transport.getRemoteCandidates()),
        ):
            records = self.every(self.alice, kind)
            self.assertEqual(
                [(each["address"], each["port"], each["usernameFragment"]) for each in records],
                [(each.address, each.port, each.usernameFragment) for each in shown],
            )
            self.assertEqual({each["candidateType"] for each in records}, {"host"})

    def test_every_suite_that_is_offered_has_its_name(self) -> None:
        self.assertEqual(_SUITES, b"ECDHE+AESGCM+AES128:ECDHE+CHACHA20:ECDHE+AESGCM")
        self.assertEqual(len(_CIPHERS), 6)


class LearntTests(ScriptCase):
    """A candidate that only the network told of."""

    def connect_unseen(self) -> None:
        """Bob is told nothing of where alice is."""
        self.b.addEventListener("icecandidate", Trickler(self.a))
        offer = self.two.offer(self.alice)
        lines = offer.sdp.splitlines(keepends=True)
        unseen = "".join(line for line in lines if not line.startswith(CANDIDATES))
        answer = self.two.answer(self.bob, Description(offer.type, unseen))
        self.two.now(self.a.setRemoteDescription(answer))
        self.two.advance(3.0)

    def test_an_address_that_was_never_signaled_is_in_no_record(self) -> None:
        self.connect_unseen()
        self.assertIn(self.b.iceConnectionState, GOOD)
        records = [each.toJSON() for each in self.two.now(self.b.getStats()).values()]
        learnt = [each for each in records if each["type"] == "remote-candidate"]
        self.assertEqual({each["candidateType"] for each in learnt}, {"prflx"})
        self.assertEqual({each.get("address") for each in learnt}, {None})
        sent = json.dumps(records)
        for address in self.two.network.hosts["alice"].interfaces:
            self.assertNotIn(address, sent)
        pair = self.b.iceTransport.getSelectedCandidatePair()
        assert pair is not None
        self.assertEqual((pair.remote.type, pair.remote.address), ("prflx", None))
        self.assertEqual(self.b.iceTransport.getRemoteCandidates(), [])

    def test_once_it_is_signaled_it_is_shown_rule_52(self) -> None:
        told: list[object] = []
        self.a.addEventListener("icecandidate", lambda event: told.append(event.candidate))
        self.connect_unseen()
        for candidate in told:
            self.two.now(self.b.addIceCandidate(candidate))
        pair = self.b.iceTransport.getSelectedCandidatePair()
        assert pair is not None
        self.assertEqual(pair.remote.type, "host")
        self.assertIn(pair.remote.address, self.two.network.hosts["alice"].interfaces)


class PlainTests(StatsCase):
    """Without DTLS."""

    protect = False

    def test_there_is_no_certificate_and_no_association(self) -> None:
        self.two.exchange(self.alice, self.bob)
        self.assertEqual(self.every(self.alice, "certificate"), [])
        transport = self.one(self.alice, "transport")
        self.assertEqual((transport["dtlsState"], transport["dtlsRole"]), ("new", "unknown"))
        self.alice.send(b"12345")
        self.assertEqual(self.selected(self.alice)["bytesSent"], 5)
        self.assertEqual(self.one(self.alice, "transport")["bytesSent"], 5)
