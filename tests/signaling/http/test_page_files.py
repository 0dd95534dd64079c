"""The files of the page: all are served, and they want nothing that its policy forbids."""

from __future__ import annotations

import re
from importlib.resources import files

from twisted.trial.unittest import SynchronousTestCase

from refreeze.service.frontage import page_files

_MAX_LINES = 500


class PageFileTests(SynchronousTestCase):
    """What a daemon with ``page = true`` has in hand."""

    def setUp(self) -> None:
        self.served = {path: content.decode() for path, (_, content) in page_files().items()}
        self.markup = self.served["/"]

    def test_every_file_that_is_there_is_served(self) -> None:
        there = {f"/{each.name}" for each in (files("refreeze.signaling.http") / "page").iterdir()}
        self.assertEqual(there - {"/index.html"} | {"/"}, set(self.served))

    def test_whatever_a_file_names_is_served(self) -> None:
        named = re.findall(r'(?:src|href)="([^"]*)"', self.markup)
        for content in self.served.values():
            named += re.findall(r"from '\./([^']*)'", content)
        self.assertIn("refreeze.js", named)
        for name in named:
            self.assertIn(f"/{name}", self.served)

    def test_the_markup_has_no_script_and_no_style_of_its_own(self) -> None:
        """``default-src 'self'`` would not run them."""
        self.assertEqual(re.findall(r"<script[^>]*>([^<]+)", self.markup), [])
        self.assertEqual(re.findall(r"<style|\sstyle=|\son\w+=", self.markup), [])

    def test_every_field_has_a_label_and_every_named_element_is_there(self) -> None:
        for field in re.findall(r"<input [^>]*>", self.markup):
            self.assertRegex(self.markup, rf"<label>[^<]+{re.escape(field)}</label>")
        for name in re.findall(r"at\('(\w+)'\)", self.served["/page.js"]):
            self.assertIn(f'id="{name}"', self.markup)

    def test_modules_stay_small_and_need_no_secure_context(self) -> None:
        for path, content in self.served.items():
            self.assertLess(len(content.splitlines()), _MAX_LINES, path)
            for api in ("randomUUID", "crypto.subtle", "serviceWorker", "navigator.locks"):
                self.assertNotIn(api, content, path)
