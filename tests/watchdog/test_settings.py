"""T16: zero, negative and contradicting numbers are refused, with the key."""

from __future__ import annotations

from attrs import fields
from twisted.trial.unittest import SynchronousTestCase

from refreeze.watchdog import PolicySettings, StormSettings
from refreeze.watchdog.settings import setting_names

_TUPLES = ("offer_resends",)


class SettingsTests(SynchronousTestCase):
    def assertRefused(
        self, kind: type[PolicySettings] | type[StormSettings], **values: object
    ) -> str:
        with self.assertRaises(ValueError) as caught:
            kind(**values)  # type: ignore[arg-type]  # hostile values are the point
        return str(caught.exception)

    def test_the_defaults_are_those_of_the_policy_table(self) -> None:
        settings = PolicySettings()
        self.assertEqual((settings.first_delay, settings.backoff_base), (0.5, 1.0))
        self.assertEqual((settings.backoff_cap, settings.stable_after), (60.0, 60.0))
        self.assertEqual((settings.attempts, settings.attempts_window), (5, 120.0))
        self.assertEqual((settings.initial_grace, settings.initial_hard), (5.0, 15.0))
        self.assertEqual((settings.offer_resends, settings.answer_timeout), ((2, 5, 10), 15.0))
        self.assertEqual((settings.round_timeout, settings.offer_wait), (20.0, 10.0))
        self.assertEqual((settings.probe_first, settings.probe_max), (300.0, 3600.0))
        storm = StormSettings()
        self.assertEqual((storm.rate, storm.burst, storm.max_pending), (250.0, 500, 1000))
        self.assertEqual((storm.canaries, storm.storm_sessions), (5, 30))

    def test_zero_negative_and_odd_numbers_are_refused_with_the_key_T16(self) -> None:
        for kind in (PolicySettings, StormSettings):
            for attribute in fields(kind):
                if attribute.name in _TUPLES:
                    continue
                for bad in (0, -1, -0.5, float("nan"), float("inf"), "5", True, 1e9):
                    text = self.assertRefused(kind, **{attribute.name: bad})
                    self.assertTrue(text.startswith(f"{attribute.name}: "), text)

    def test_contradictions_name_the_key_T16(self) -> None:
        for key, values in (
            ("backoff_base", {"backoff_base": 61.0}),
            ("initial_grace", {"initial_grace": 16.0}),
            ("please_interval", {"please_interval": 11.0}),
            ("answer_timeout", {"answer_timeout": 21.0}),
            ("probe_first", {"probe_first": 4000.0}),
            ("network_first", {"network_first": 2.0}),
            ("offer_resends", {"offer_resends": (2.0, 15.0)}),
            ("offer_resends", {"offer_resends": (5.0, 2.0)}),
            ("offer_resends", {"offer_resends": (0.0, 2.0)}),
            ("offer_resends", {"offer_resends": tuple(range(1, 40))}),
        ):
            self.assertTrue(self.assertRefused(PolicySettings, **values).startswith(f"{key}: "))
        for key, values in (
            ("hold_first", {"hold_first": 61.0}),
            ("release_min", {"release_min": 121.0}),
            ("calm_share", {"calm_share": 0.5}),
            ("canaries", {"canaries": 1001}),
        ):
            self.assertTrue(self.assertRefused(StormSettings, **values).startswith(f"{key}: "))

    def test_shares_are_below_one(self) -> None:
        for kind, key in ((PolicySettings, "probe_jitter"), (StormSettings, "storm_share")):
            self.assertTrue(self.assertRefused(kind, **{key: 1.0}).startswith(f"{key}: "))

    def test_an_early_restart_is_off_by_default_and_resends_may_be_none(self) -> None:
        self.assertIsNone(PolicySettings().early_restart_after)
        self.assertEqual(PolicySettings(early_restart_after=8.0).early_restart_after, 8.0)
        self.assertEqual(PolicySettings(offer_resends=()).offer_resends, ())

    def test_the_names_for_the_config_file(self) -> None:
        self.assertIn("first_delay", setting_names(PolicySettings))
        self.assertIn("canaries", setting_names(StormSettings))
