"""Which hosts reach the world another way, and when that is a change."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from refreeze.net.routes import ANYWHERE
from refreeze.sessions.ways import Ways

ONE, TWO, SIX = "10.0.0.1", "10.0.1.1", "2001:db8:1::1"


class WaysTests(SynchronousTestCase):
    """Compared from look to look."""

    def setUp(self) -> None:
        self.asked = list[tuple[str, str]]()
        self.now: dict[str, str | None] = {ONE: "2 a", TWO: "3 b", SIX: "2 c"}
        self.links: dict[tuple[str, str], str] = {}
        self.ways = Ways(self.via)
        self.assertEqual(self.look(), ([], []))

    def via(self, source: str, remote: str) -> str | None:
        self.asked.append((source, remote))
        return self.links.get((source, remote), self.now.get(source))

    def look(self) -> tuple[list[str], list[str]]:
        moved, back = self.ways.look(self.now)
        return list(moved), list(back)

    def test_each_host_is_asked_about_its_own_family(self) -> None:
        self.assertEqual(self.asked, [(ONE, ANYWHERE[0]), (TWO, ANYWHERE[0]), (SIX, ANYWHERE[1])])

    def test_another_router_or_interface_is_a_change_once(self) -> None:
        self.now[ONE] = "2 other"
        self.assertEqual(self.look(), ([ONE], []))
        self.assertEqual(self.look(), ([], []))

    def test_a_host_that_comes_or_goes_is_no_change_of_a_way(self) -> None:
        self.now["10.0.2.1"] = "4 d"
        del self.now[TWO]
        self.assertEqual(self.look(), ([], []))

    def test_a_way_that_is_lost_is_a_change_while_another_host_has_one(self) -> None:
        self.now[ONE] = None
        self.assertEqual(self.look(), ([ONE], []))

    def test_a_way_that_all_lost_is_none_until_it_comes_back(self) -> None:
        kept = dict(self.now)
        self.now = dict.fromkeys(self.now)
        self.assertEqual(self.look(), ([], []))
        self.now = kept
        self.assertEqual(self.look(), ([], [ONE, TWO, SIX]))

    def test_what_comes_back_another_way_is_a_change(self) -> None:
        self.now = dict.fromkeys(self.now)
        self.look()
        self.now = {ONE: "2 a", TWO: "2 a", SIX: "2 c"}
        self.assertEqual(self.look(), ([TWO], [ONE, SIX]))

    def test_a_remote_on_a_link_of_its_own_is_not_reached_by_default(self) -> None:
        self.links[ONE, "10.0.0.9"] = "2 "
        self.assertFalse(self.ways.by_default(ONE, "10.0.0.9"))
        self.assertTrue(self.ways.by_default(ONE, "192.0.2.9"))

    def test_where_nobody_knows_nothing_ever_changes(self) -> None:
        ways = Ways(lambda source, remote: None)
        for _ in range(3):
            self.assertEqual(ways.look([ONE, SIX]), ([], []))
