"""What is promised of the resources of :mod:`refreeze.signaling.http`, whatever is sent to them."""

from __future__ import annotations

import json
from typing import Final

from refreeze.sdp import SessionDescription
from refreeze.sdp.fragment import fragment_of
from tests.corpus import OFFERS, load
from tests.fuzz.engine import Target
from tests.fuzz.http_world import PAGE, SESSION, HttpWorld, statuses

_SDP: Final = "Content-Type: application/sdp"
_FRAGMENT: Final = "Content-Type: application/trickle-ice-sdpfrag"
_LIFE: Final = f"/sessions/{SESSION}/{{ID}}"
_HOST: Final = "Host: localhost"
_RESTART: Final = (
    "a=ice-ufrag:efgh\r\na=ice-pwd:" + "q" * 22 + "\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n"
)
_CANDIDATE: Final = "candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host"
_ANSWER: Final = '{"type": "answer", "offer": "{OFFER}", "sdp": "{ANSWER}"}'


def request(method: str, path: str, *headers: str, body: str = "") -> str:
    """As text; its length is not said yet."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", _HOST, *headers, "", body])


def http(text: str) -> str:
    """2xx, 4xx, or "later"; after 4xx all is as before, and nothing is logged.

    The next client is served.
    """
    world = HttpWorld()
    world.connect()
    text = world.filled(text)
    before = world.state
    said = world.request(text)
    codes = statuses(said)
    assert not world.failures, world.failures[0]
    for code in codes:
        assert 200 <= code < 500, code
    if all(400 <= code < 500 for code in codes):
        assert world.state == before, f"{codes} and something has changed"
    # What has a line between its headers may be two requests.
    if len(codes) == 1 and codes[0] >= 400:
        _check_problem(said, codes[0], bodyless="HEAD" in text)
    left = world.carrier.life is None
    world.connect()
    assert not world.failures, world.failures[0]
    return f"{codes} {left}"


def _check_problem(said: bytes, code: int, *, bodyless: bool) -> None:
    """One short JSON object without secrets, unless Twisted could read no request at all."""
    body = said.partition(b"\r\n\r\n")[2]
    if b"application/problem+json" not in said:
        assert not body
        return
    if bodyless and not body:
        return
    problem = json.loads(body)
    assert problem["status"] == code
    assert len(problem["detail"]) < 200
    assert b"qqqq" not in body, body


def _largest() -> str:
    """A restart that is as large as a fragment may be."""
    lines = (f"a={_CANDIDATE} x {'y' * 260} z {n}\r\n" for n in range(195))
    return _RESTART + "".join(lines)


def _answer() -> str:
    """What the browser says to the session's offer, which is the same in every world."""
    world = HttpWorld()
    world.connect()
    return _ANSWER.replace("{ANSWER}", json.dumps(world.offer())[1:-1])


def _seeds() -> list[str]:
    data = [load(name) for name in OFFERS if name.endswith(("_data", "_media"))]
    fragments = [fragment_of(SessionDescription.parse(sdp)).format() for sdp in data[:4]]
    etag, any_etag = "If-Match: {ETAG}", "If-Match: *"
    events = f"{_LIFE}/events"
    return [
        *(request("POST", f"/sessions/{SESSION}", _SDP, body=sdp) for sdp in data),
        *(request("PATCH", _LIFE, _FRAGMENT, any_etag, body=text) for text in fragments),
        request("PATCH", _LIFE, _FRAGMENT, any_etag, body=f"{_RESTART}a={_CANDIDATE}\r\n"),
        request(
            "PATCH",
            _LIFE,
            _FRAGMENT,
            etag,
            body=f"m=audio 9 RTP/AVP 0\r\na=mid:0\r\na={_CANDIDATE}",
        ),
        request("PATCH", _LIFE, _FRAGMENT, body=_RESTART),
        request("POST", events, "Content-Type: application/json", body=_ANSWER),
        request("POST", events, "Content-Type: application/json", body=_answer()),
        request(
            *("POST", events, "Content-Type: application/json"),
            body=_answer().replace("setup:passive", "setup:actpass"),
        ),
        request("GET", events, "Accept: text/event-stream"),
        request("DELETE", _LIFE),
        request("PATCH", _LIFE, _FRAGMENT, any_etag, body=_largest()),
        request("OPTIONS", _LIFE, f"Origin: {PAGE}", "Access-Control-Request-Method: PATCH"),
    ]


HTTP: Final = Target(
    "http",
    http,
    _seeds(),
    ("refreeze/signaling/http/", "refreeze/sdp/fragment"),
    lambda length: 20_000 + 20 * length,
    (
        *(
            "{ID}",
            "{ETAG}",
            "{OFFER}",
            "{ANSWER}",
            "*",
            'W/"x"',
            '"',
            "null",
            "[[[[",
            "{}",
            "9" * 5000,
        ),
        *("Origin: http://[", f"Origin: {PAGE}", "Authorization: Bearer x", "Host: [::1]:8080"),
        *("Transfer-Encoding: chunked", "Expect: 100-continue", "Content-Encoding: gzip"),
        *("GET", "HEAD", "PUT", "PATCH", "POST", "DELETE", "OPTIONS", "events", "sessions", ".."),
        *("a=ice-lite", "a=ice-pacing:20", "a=ice-options:ice2", f"a={_CANDIDATE}", "\\ud800"),
    ),
)
