"""Tokens, origins and hosts: who may use a session."""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from refreeze.signaling.http.access import MAX_TOKENS, Access, Tokens
from refreeze.signaling.http.problems import Problem
from tests.signaling.http.kit import SESSION, Kit, fragment, sdp

TOKEN = "abcdefghijklmnop-._~+/12=="
OTHER = "zyxwvutsrqponmlkjihg"
PAGE = "https://app.example.net"


class FileTests(SynchronousTestCase):
    """The file of tokens."""

    def write(self, text: str | bytes, mode: int = 0o600) -> str:
        """Its path."""
        path = os.path.abspath(self.mktemp())
        data = text if isinstance(text, bytes) else text.encode()
        with os.fdopen(os.open(path, os.O_CREAT | os.O_WRONLY, mode), "wb") as file:
            file.write(data)
        return path

    def test_sessions_and_all_of_them(self) -> None:
        tokens = Tokens.load(
            self.write(f"# mine\n\n  screen {TOKEN}\nscreen {OTHER}\n* {'a' * 16}")
        )
        for session, token in (("screen", TOKEN), ("screen", OTHER), ("x", "a" * 16)):
            tokens.check(session, f"Bearer {token}")
            tokens.check(session, f"bearer  {token} ")
        for session, token in (("x", TOKEN), ("*", TOKEN), ("screen", "b" * 16), ("screen", "")):
            self.assertEqual(
                self.assertRaises(Problem, tokens.check, session, f"Bearer {token}").status, 401
            )

    def test_what_is_wrong_with_a_file_is_one_line_without_the_token(self) -> None:
        for text, wanted in (
            (f"screen {TOKEN} more\n", "line 1: SESSION TOKEN"),
            ("screen\n", "line 1: SESSION TOKEN"),
            ("\nscreen secret\n", "line 2: SESSION TOKEN"),
            (f"screen {TOKEN}!\n", "line 1: SESSION TOKEN"),
            (f"screen {'a' * 300}\n", "line 1: SESSION TOKEN"),
            (f"screen {TOKEN}\n" * (MAX_TOKENS + 1), f"more than {MAX_TOKENS} lines"),
            ("#" * 300_000, "longer than"),
            (b"\xff", "utf-8"),
        ):
            path = self.write(text)
            error = str(self.assertRaises(ValueError, Tokens.load, path))
            self.assertTrue(error.startswith(f"{path}: "), error)
            self.assertIn(wanted, error)
            self.assertNotIn("\n", error)
            for secret in (TOKEN, "secret"):
                self.assertNotIn(secret, error)

    def test_a_file_that_others_can_read_or_that_is_not_there_is_refused(self) -> None:
        path = self.write(f"screen {TOKEN}\n", 0o644)
        os.chmod(path, 0o644)
        self.assertIn(path, str(self.assertRaises(ValueError, Tokens.load, path)))
        self.assertIn("No such file", str(self.assertRaises(ValueError, Tokens.load, "/no/file")))

    def test_nothing_shows_a_token(self) -> None:
        tokens = Tokens({"screen": [TOKEN.encode()]})
        self.assertNotIn(TOKEN, repr(Access(tokens)) + repr(tokens))


class BearerTests(SynchronousTestCase):
    """RFC 6750 over HTTP."""

    def setUp(self) -> None:
        self.kit = Kit(Access(Tokens({SESSION: [TOKEN.encode()], "other": [OTHER.encode()]})))
        self.client = self.kit.client

    def test_without_a_token_401_says_what_is_wanted(self) -> None:
        for given in ({}, {"Authorization": "Basic YTpi"}, {"Authorization": TOKEN}):
            reply = self.client.post(sdp(), **given)
            self.assertEqual(reply.problem["status"], 401)
            self.assertEqual(reply.headers["www-authenticate"], 'Bearer realm="refreeze"')

    def test_another_token_is_401_and_invalid(self) -> None:
        for token in (OTHER, TOKEN[:-1], TOKEN + "=", "", "\xe9"):
            reply = self.client.post(sdp(), Authorization=f"Bearer {token}")
            if token == "\xe9":
                self.assertEqual(reply.status, 400)
                continue
            self.assertEqual(reply.problem["status"], 401)
            self.assertIn('error="invalid_token"', reply.headers["www-authenticate"])
            self.assertNotIn(OTHER, reply.text)

    def test_sessions_that_there_are_not_look_no_other_without_a_token(self) -> None:
        one = self.client.post(sdp(), Authorization=f"Bearer {OTHER}")
        two = self.client.post(sdp(), session="nobody", Authorization=f"Bearer {OTHER}")
        self.assertEqual((one.status, one.body), (two.status, two.body))

    def test_every_resource_wants_it(self) -> None:
        right = {"Authorization": f"Bearer {TOKEN}"}
        place = self.client.post(sdp(), **right).headers["location"]
        for method, path in (
            ("PATCH", place),
            ("DELETE", place),
            ("GET", f"{place}/events"),
            ("POST", f"{place}/events"),
            ("GET", f"/sessions/{SESSION}"),
        ):
            self.assertEqual(self.client.ask(method, path).status, 401, path)
        reply = self.client.patch(place, fragment(), "*", **right)
        self.assertEqual(reply.status, 204)
        self.assertEqual(self.client.ask("DELETE", place, **right).status, 200)

    def test_the_page_is_anybodys(self) -> None:
        self.kit.doorway.page = {"/": ("text/html; charset=utf-8", b"<p>")}
        reply = self.client.ask("GET", "/")
        self.assertEqual((reply.status, reply.body), (200, b"<p>"))
        self.assertIn("default-src 'self'", reply.headers["content-security-policy"])
        self.assertEqual(reply.headers["cache-control"], "no-cache")
        self.assertEqual(self.client.ask("POST", "/").headers["allow"], "GET, HEAD")
        self.assertEqual(self.client.ask("GET", "/refreeze.js").status, 404)


class OriginTests(SynchronousTestCase):
    """CORS: pages of other origins."""

    def test_a_page_of_a_listed_origin_may(self) -> None:
        kit = Kit(Access(origins=[PAGE]))
        reply = kit.client.post(sdp(), Origin=PAGE)
        self.assertEqual(reply.status, 201)
        self.assertEqual(reply.headers["access-control-allow-origin"], PAGE)
        self.assertEqual(reply.headers["vary"], "Origin")
        exposed = {
            name.strip() for name in reply.headers["access-control-expose-headers"].split(",")
        }
        self.assertEqual(exposed, {"ETag", "Link", "Location", "Retry-After"})
        stream = kit.client.start("GET", f"{reply.headers['location']}/events", Origin=PAGE)
        kit.advance(0.1)
        assert stream.head is not None
        self.assertEqual(stream.head[1]["access-control-allow-origin"], PAGE)

    def test_its_errors_can_be_read_too(self) -> None:
        kit = Kit(Access(Tokens(), [PAGE]))
        reply = kit.client.post(sdp(), Origin=PAGE)
        self.assertEqual((reply.status, reply.headers["access-control-allow-origin"]), (401, PAGE))

    def test_a_preflight_says_what_may_be_sent_and_needs_no_token(self) -> None:
        kit = Kit(Access(Tokens(), [PAGE]))
        for path, methods in (
            (f"/sessions/{SESSION}", "POST, OPTIONS"),
            (f"/sessions/{SESSION}/x", "PATCH, DELETE, OPTIONS"),
            (f"/sessions/{SESSION}/x/events", "GET, POST, OPTIONS"),
        ):
            reply = kit.client.ask(
                "OPTIONS", path, Origin=PAGE, Access_Control_Request_Method="PATCH"
            )
            self.assertEqual(reply.status, 204)
            self.assertEqual(reply.headers["access-control-allow-methods"], methods)
            self.assertEqual(
                reply.headers["access-control-allow-headers"],
                "Authorization, Content-Type, If-Match",
            )

    def test_other_origins_are_403_and_are_told_nothing_by_cors(self) -> None:
        kit = Kit(Access(origins=[PAGE]))
        for origin in (
            *("https://evil.example", "http://app.example.net", "null", "http://[", "x"),
            *(f"{PAGE}.evil.example", f"{PAGE}:8443", "https://localhost.evil.example"),
        ):
            for method in ("OPTIONS", "POST"):
                reply = kit.client.ask(method, f"/sessions/{SESSION}", Origin=origin)
                self.assertEqual(reply.problem["status"], 403, origin)
                self.assertEqual([n for n in reply.headers if n.startswith("access-control")], [])
        self.assertEqual(kit.script.heard, [])

    def test_our_own_page_is_of_no_other_origin(self) -> None:
        reply = Kit().client.post(sdp(), Origin="http://localhost")
        self.assertEqual(reply.status, 201)
        self.assertNotIn("access-control-allow-origin", reply.headers)

    def test_a_star_lets_all_of_them_in(self) -> None:
        reply = Kit(Access(origins=["*"])).client.post(sdp(), Origin="https://a.example")
        self.assertEqual(reply.headers["access-control-allow-origin"], "*")


class HostTests(SynchronousTestCase):
    """Names by which we are reached, where there are no tokens."""

    def test_a_name_that_is_not_this_machines_is_421_without_tokens(self) -> None:
        """DNS rebinding: any page could have its own name resolve to us."""
        kit = Kit()
        kit.doorway.unix = False
        for host in ("localhost:8080", "127.0.0.1", "[::1]:8080", "127.1.2.3:1"):
            self.assertEqual(kit.client.post(sdp(), Host=host).status, 201, host)
        for host in ("evil.example", "192.0.2.1", "", "[", "localhost.evil.example", "a b", "@"):
            self.assertEqual(kit.client.post(sdp(), Host=host).problem["status"], 421, host)

    def test_with_tokens_any_name_does(self) -> None:
        kit = Kit(Access(Tokens({SESSION: [TOKEN.encode()]})))
        kit.doorway.unix = False
        reply = kit.client.post(sdp(), Host="www.example.net", Authorization=f"Bearer {TOKEN}")
        self.assertEqual(reply.status, 201)
