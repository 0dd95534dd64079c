"""The resources: an offer makes one, fragments trickle and restart it, events tell of it.

RFC 9725 as rules 69 to 73 have it, and the event stream that it lacks: only a client can restart
there, and a daemon that watches a path has to be able to.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any, ClassVar, Final

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from refreeze.sdp import SdpError, SessionDescription
from refreeze.sdp.fragment import MEDIA_TYPE as FRAGMENT
from refreeze.sdp.fragment import Fragment, fragment_of
from refreeze.signaling.http.access import Access
from refreeze.signaling.http.carrier import HttpCarrier, HttpSignaling
from refreeze.signaling.http.life import Life
from refreeze.signaling.http.problems import MEDIA_TYPE, Problem, busy
from refreeze.signaling.http.stream import EVENTS, EventStream

SDP: Final = "application/sdp"
JSON: Final = "application/json"
_EXPOSED: Final = "ETag, Link, Location, Retry-After"
_ASKED: Final = "Authorization, Content-Type, If-Match"
_ETAG: Final = re.compile(r'"[^"]*"')
_SSE: Final = "urn:ietf:params:whep:ext:core:server-sent-events"


@implementer(IResource)
@define(eq=False, repr=False, kw_only=True)
class Doorway:
    """Everything below the listener's root."""

    signaling: HttpSignaling
    clock: IReactorTime
    access: Access
    unix: bool = False
    """Whether the listener is a UNIX socket, which web pages cannot reach."""
    page: Mapping[str, tuple[str, bytes]] = field(factory=dict)
    """Files by path: type and content."""
    draining: Callable[[], bool] = lambda: False
    isLeaf: bool = field(default=True, init=False)
    counters: Counter[int] = field(factory=Counter, init=False)
    """Responses by status."""

    _log: ClassVar[Logger] = Logger()

    def getChildWithDefault(self, name: bytes, request: Any) -> IResource:
        """All paths are ours."""
        return self

    def putChild(self, path: bytes, child: IResource) -> None:
        """None is taken."""
        raise NotImplementedError

    def render(self, request: Any) -> Any:
        """Answer, now or later; what is wrong becomes a problem body."""
        request.setHeader("Server", "refreeze")
        try:
            done = self._answer(request)
        except Problem as problem:
            done = _problem(request, problem)
        except Exception:
            self._log.failure("an HTTP request failed")
            done = _problem(request, Problem(500, "the daemon failed"))
        if isinstance(done, bytes):
            self.counters[request.code] += 1
            return _without_body(request, done) if request.method == b"HEAD" else done
        if done is None:
            self.counters[request.code] += 1
        else:
            gone: list[object] = []
            request.notifyFinish().addErrback(gone.append)
            done.addCallbacks(
                partial(self._later, request, gone), partial(self._failed, request, gone)
            )
        return NOT_DONE_YET

    # Routing

    def _answer(self, request: Any) -> bytes | Deferred[bytes] | None:
        host = _header(request, "Host")
        self.access.check_host(host, self.unix)
        allowed = self.access.allowed(_header(request, "Origin"), host)
        if allowed is not None:
            _set(request, {"Access-Control-Allow-Origin": allowed, "Vary": "Origin"})
            _set(request, {"Access-Control-Expose-Headers": _EXPOSED})
        try:
            path = request.path.decode("ascii")
        except UnicodeDecodeError:
            raise Problem(404, "there is nothing") from None
        if path in self.page:
            return self._page(request, path)
        parts = path.split("/")[1:]
        if len(parts) < 2 or parts[0] != "sessions" or not all(parts):
            raise Problem(404, "there is nothing")
        method = request.method.decode("ascii", "replace")
        if method != "OPTIONS":
            self.access.check(parts[1], _header(request, "Authorization"))
        return self._dispatch(request, method, parts[1], parts[2:])

    def _dispatch(
        self, request: Any, method: str, session: str, rest: Sequence[str]
    ) -> bytes | Deferred[bytes] | None:
        handlers: Mapping[str, Callable[..., bytes | Deferred[bytes] | None]]
        if not rest:
            handlers = {"POST": self._post}
            accepts = {"Accept-Post": SDP}
        elif len(rest) == 1:
            handlers = {"PATCH": self._patch, "DELETE": self._delete}
            accepts = {"Accept-Patch": FRAGMENT}
        elif rest[1:] == ["events"]:
            handlers = {"GET": self._events, "POST": self._said}
            accepts = {"Accept-Post": JSON}
        else:
            raise Problem(404, "there is nothing")
        methods = ", ".join([*handlers, "OPTIONS"])
        if method == "OPTIONS":
            return _preflight(request, methods, accepts)
        handler = handlers.get(method)
        if handler is None:
            raise Problem(405, f"this resource knows {methods}", {"Allow": methods})
        carrier = self.signaling.find(session)
        if carrier is None:
            raise Problem(404, "there is no such session")
        if not rest:
            return handler(request, carrier)
        life = carrier.life
        if life is None or life.id != rest[0]:
            raise Problem(404, "the resource is gone")
        return handler(request, carrier, life)

    # Handlers

    def _page(self, request: Any, path: str) -> bytes:
        if request.method not in {b"GET", b"HEAD"}:
            raise Problem(405, "a page is read", {"Allow": "GET, HEAD"})
        kind, content = self.page[path]
        _set(
            request,
            {
                "Content-Type": kind,
                "Cache-Control": "no-cache",
                "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'",
                "X-Content-Type-Options": "nosniff",
                "Referrer-Policy": "no-referrer",
            },
        )
        return content

    def _post(self, request: Any, carrier: HttpCarrier) -> Deferred[bytes]:
        """Rule 70: 201 with the answer, where it is, and its entity tag."""
        sdp = _body(request, SDP, {"Accept-Post": SDP})
        if self.draining():
            raise busy("the daemon is about to stop", 5)
        answered: Deferred[SessionDescription] = _readable(lambda: carrier.begin(sdp))
        life = carrier.life
        assert life is not None, "an offer begins one"

        def created(answer: SessionDescription) -> bytes:
            place = f"/sessions/{life.session}/{life.id}"
            request.setResponseCode(201)
            events = ",".join(EVENTS)
            _set(
                request,
                {
                    "Location": place,
                    "ETag": life.etag,
                    "Content-Type": SDP,
                    "Accept-Patch": FRAGMENT,
                    "Link": f'<{place}/events>; rel="{_SSE}"; events="{events}"',
                },
            )
            return answer.format().encode()

        return answered.addCallback(created)

    def _patch(self, request: Any, carrier: HttpCarrier, life: Life) -> bytes | Deferred[bytes]:
        """A restart names other credentials than those in force; all else trickles (71)."""
        text = _body(request, FRAGMENT, {"Accept-Patch": FRAGMENT})
        anything = _check_match(_header(request, "If-Match"), life.etag)
        fragment = _readable(lambda: Fragment.parse(text))
        if not life.is_restart(fragment):
            carrier.trickle(life, fragment)
            request.setResponseCode(204)
            return b""
        if not anything:
            # Of a session that we know nothing of: RFC 8840 would have them dropped in silence.
            raise Problem(412, "candidates of another ICE session; a restart has If-Match: *")
        if life.half_changed(fragment):
            raise Problem(400, "a restart changes ice-ufrag and ice-pwd, both of them")
        changed = life.changes(fragment)
        if changed is not None:
            raise Problem(422, f"a restart does not change {changed}")
        try:
            answered = carrier.restart(life, fragment)
        except SdpError as error:
            # Each of the two is fine, and both together are too much.
            raise Problem(422, f"not with the offer before: expected {error.expected}") from None
        return answered.addCallback(partial(_restarted, request, life))

    def _delete(self, request: Any, carrier: HttpCarrier, life: Life) -> bytes:
        """Unconditional (rule 70)."""
        carrier.leave()
        return b""

    def _events(self, request: Any, carrier: HttpCarrier, life: Life) -> None:
        _set(request, {"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        _set(request, {"X-Accel-Buffering": "no"})
        stream = EventStream(request, self.clock, carrier.left)
        stream.start()
        carrier.attend(stream)

    def _said(self, request: Any, carrier: HttpCarrier, life: Life) -> Deferred[bytes]:
        """The answer to an offer of the stream's."""
        message = _message(_body(request, JSON, {"Accept-Post": JSON}))
        taken: Deferred[None] = _readable(
            lambda: carrier.answer(life, message["offer"], message["sdp"])
        )

        def agreed(_: None) -> bytes:
            _set(request, {"Content-Type": JSON, "ETag": life.etag})
            return json.dumps({"etag": life.etag}).encode()

        return taken.addCallback(agreed)

    # Later

    def _later(self, request: Any, gone: list[object], body: bytes) -> None:
        if not gone:
            self.counters[request.code] += 1
            _finish(request, body)

    def _failed(self, request: Any, gone: list[object], failure: Failure) -> None:
        problem = failure.value
        if not isinstance(problem, Problem):
            self._log.failure("an HTTP request failed", failure)
            problem = Problem(500, "the daemon failed")
        self._later(request, gone, _problem(request, problem))


def _restarted(request: Any, life: Life, answer: SessionDescription) -> bytes:
    """Rule 70: 200, our new credentials and candidates, a new strong entity tag."""
    _set(request, {"Content-Type": FRAGMENT, "ETag": life.etag})
    return fragment_of(answer).format().encode()


def _preflight(request: Any, methods: str, accepts: Mapping[str, str]) -> bytes:
    request.setResponseCode(204)
    _set(request, {"Allow": methods, **accepts})
    if _header(request, "Access-Control-Request-Method") is not None:
        _set(
            request,
            {
                "Access-Control-Allow-Methods": methods,
                "Access-Control-Allow-Headers": _ASKED,
                "Access-Control-Max-Age": "600",
            },
        )
    return b""


def _check_match(given: str | None, etag: str) -> bool:
    """Rules 69 and 70: none 428, another 412. True for the wildcard, also as drafts quote it."""
    if given is None:
        raise Problem(428, 'If-Match is wanted: the entity tag to trickle, "*" to restart')
    if given.strip() in {"*", '"*"'}:
        return True
    known = _ETAG.findall(re.sub(r'W/"[^"]*"', "", given))
    if etag not in known:
        raise Problem(412, "the ICE session has another entity tag by now")
    return False


def _message(text: str) -> dict[str, str]:
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        raise Problem(400, "JSON is wanted") from None
    wanted = ("type", "offer", "sdp")
    if not isinstance(message, dict) or not all(
        isinstance(message.get(key), str) for key in wanted
    ):
        raise Problem(400, "an object with type, offer and sdp is wanted")
    if message["type"] != "answer":
        raise Problem(422, "type: an answer is wanted; a client offers by POST and PATCH")
    return message


def _readable(work: Callable[[], Any]) -> Any:
    """Problem 400 with the line for a description or a fragment that is none."""
    try:
        return work()
    except SdpError as error:
        raise Problem(400, str(error)) from None


def _body(request: Any, kind: str, accepts: Mapping[str, str]) -> str:
    given = (_header(request, "Content-Type") or "").partition(";")[0].strip().lower()
    if given != kind:
        raise Problem(415, f"the body has to be {kind}", accepts)
    try:
        text: str = request.content.read().decode()
    except UnicodeDecodeError:
        raise Problem(400, "the body is no UTF-8") from None
    return text


def _header(request: Any, name: str) -> str | None:
    value: bytes | None = request.getHeader(name.encode())
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        raise Problem(400, f"the header {name} is no UTF-8") from None


def _set(request: Any, headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        request.setHeader(name, value)


def _without_body(request: Any, body: bytes) -> bytes:
    request.setHeader("Content-Length", str(len(body)))
    return b""


def _finish(request: Any, body: bytes) -> None:
    request.setHeader("Content-Length", str(len(body)))
    request.write(body)
    request.finish()


def _problem(request: Any, problem: Problem) -> bytes:
    request.setResponseCode(problem.status, HTTPStatus(problem.status).phrase.encode())
    _set(request, {"Content-Type": MEDIA_TYPE, "Cache-Control": "no-store", **problem.headers})
    return problem.body()
