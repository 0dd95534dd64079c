"""One side twice: as it is, and as the model has it; every call is made on both and compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

from refreeze.ice import Credentials
from refreeze.jsep import Description, DescriptionType, Fire, JsepError
from refreeze.sdp import SessionDescription

from .model import Peer
from .model_parts import CLOSED, DATA, LOCAL_OFFER, STABLE, Held, Line, Refused, Text
from .sides import CHANGE, NEEDED, Side

Slots: TypeAlias = tuple[
    Description | None, Description | None, Description | None, Description | None
]


@lru_cache(maxsize=4096)
def read(
    sdp: str,
) -> tuple[tuple[Line, ...], Credentials | None, tuple[tuple[str, ...], ...]]:
    """What of a real text the model knows: sections, credentials, candidates' ports by section."""
    parsed = SessionDescription.parse(sdp)
    lines = tuple(
        Line(
            each.kind, each.mid, "sendrecv" if each.kind == DATA else each.direction, each.rejected
        )
        for each in parsed.media
    )
    found = next((each.credentials for each in parsed.media if each.credentials), None)
    said = list[list[str]]()
    for text in sdp.splitlines():
        if text.startswith("m="):
            said.append([])
        elif text.startswith("a=candidate:"):
            said[-1].append(text.split()[5])
        elif text == "a=end-of-candidates":
            said[-1].append("end")
    return lines, found, tuple(tuple(each) for each in said)


class Texts:
    """What one side's model does not know: texts, and the credentials behind its numbers."""

    def __init__(self, model: Peer, ices: dict[int, Credentials]) -> None:
        self.model = model
        self.ices = ices
        """Of both sides."""
        self.texts: dict[Text, str] = {}
        """What createOffer and createAnswer returned..."""
        self.made: list[Text] = []
        """...in order."""
        self.sent: list[tuple[str, Text, str]] = []
        """What was applied here, as the peer gets it, in order."""
        self.came = 0
        """How many of the peer's have been applied or passed over."""
        self.steps = 0

    def created(self, text: Text, sdp: str) -> Text:
        """Credentials and mids that the model cannot know are taken over, once checked."""
        lines, credentials, _ = read(sdp)
        assert credentials is not None
        if text.ice not in self.ices:
            old = self.ices.values()
            assert credentials.ufrag not in {each.ufrag for each in old}, "an old ufrag"
            assert credentials.pwd not in {each.pwd for each in old}, "an old pwd"
            self.ices[text.ice] = credentials
        assert credentials == self.ices[text.ice], "other credentials"
        assert len({each.mid for each in lines}) == len(lines), "a mid twice"
        assert len(lines) == len(text.lines), "sections"
        known = {each.mid for each in text.lines}
        named = list[Line]()
        for ours, real in zip(text.lines, lines, strict=True):
            assert ours.mid is not None or real.mid not in known, "a mid that is another's"
            named.append(Line(ours.kind, ours.mid or real.mid, ours.direction, ours.rejected))
        text = Text(text.kind, text.ice, tuple(named), text.owners, text.fresh)
        same_lines(text.lines, lines)
        self.texts[text] = sdp
        self.made.append(text)
        self.model.unused.add(text.kind)
        if text.kind == "offer":
            self.model.last_offer = text
        else:
            self.model.last_answer = text
        return text

    def applied(self, text: Text, known: bool, sdp: str) -> Text:
        """What setLocalDescription() took, created before or by itself."""
        if not known:
            return self.created(text, sdp)
        assert self.texts[text] == sdp, "what was created last"
        return text

    def send(self, kind: str, text: Text) -> None:
        """It was applied, so the peer may have it."""
        self.sent.append((kind, text, self.texts[text]))

    def same_slots(self, real: Slots) -> None:
        """The four descriptions."""
        model = self.model
        held = (
            model.current_local,
            model.pending_local,
            model.current_remote,
            model.pending_remote,
        )
        for description, expected in zip(real, held, strict=True):
            same(description, expected, self.ices)


class End(Texts):
    """One side twice: as it is, and as the model has it."""

    def __init__(self, number: int, numbers: Iterator[int], ices: dict[int, Credentials]) -> None:
        super().__init__(Peer(numbers=numbers), ices)
        self.real = Side(number + 1, hold_early=False)

    # Two calls, one of each kind

    def call(self, predicted: Callable[[], Any], real: Callable[[], Any]) -> tuple[Any, Any] | None:
        """What both returned; None when both refused for the same reason."""
        self.steps += 1
        before = self.model.state
        wanted = got = ""
        expected = result = None
        try:
            expected = predicted()
        except Refused as refusal:
            wanted = refusal.name
        try:
            result = real()
        except JsepError as error:
            got = error.name
        except TypeError:
            got = "TypeError"
        assert got == wanted, f"{got or 'accepted'}, but {wanted or 'accepted'} was due"
        fired = [each for each in result or () if isinstance(each, Fire)]
        changed = self.model.state not in {before, CLOSED}
        assert fired == ([CHANGE] if changed else []), fired
        self.check()
        return None if wanted else (expected, result)

    def operation(self, predicted: Callable[[], Any], real: Callable[[], Any]) -> Any:
        """A call that is one link of the operations chain."""
        self.model.operation_began()
        self.real.jsep.needs.operation_began()
        done = self.call(predicted, real)
        self.model.operation_ended()
        self.real.jsep.needs.operation_ended()
        self.check()
        return done

    def create(self, kind: str, *, restart: bool = False) -> Text | None:
        """createOffer or createAnswer."""
        jsep = self.real.jsep
        if kind == "offer":
            done = self.creation(
                lambda: self.model.create_offer(restart),
                lambda: jsep.create_offer(ice_restart=restart),
            )
        else:
            done = self.creation(self.model.create_answer, jsep.create_answer)
        return done

    def creation(
        self, predicted: Callable[[], Text], real: Callable[[], Description]
    ) -> Text | None:
        result = list[Description]()
        done = self.operation(predicted, lambda: result.append(real()))
        if done is None:
            return None
        return self.created(done[0], result[0].sdp)

    def apply(self, kind: str, text: Text | None) -> None:
        """setLocalDescription with one of ours, or a rollback."""
        sdp = "" if text is None else self.texts[text]
        description = Description(DescriptionType(kind), sdp)
        done = self.operation(
            lambda: self.model.set_local(kind, text),
            lambda: self.real.did(self.real.jsep.set_local(description)),
        )
        if done is not None and text is not None:
            self.send(kind, text)

    def take(self, kind: str, text: Text | None, sdp: str) -> None:
        """setRemoteDescription. Its caller rolls back in glare (webrtc-pc 4.4.2)."""
        if kind == "offer" and self.model.state == LOCAL_OFFER:
            self.apply("rollback", None)
        description = Description(DescriptionType(kind), sdp)
        self.operation(
            lambda: self.model.set_remote(kind, text),
            lambda: self.real.did(self.real.jsep.set_remote(description)),
        )

    def apply_implicit(self) -> None:
        """setLocalDescription()"""
        jsep, model = self.real.jsep, self.model
        found = list[tuple[Text, bool]]()

        def predicted() -> None:
            found.append(model.implied())

        def real() -> Any:
            effects = self.real.did(jsep.set_local())
            held = jsep.pending_local or jsep.current_local
            assert held is not None
            text = self.applied(*found[0], held.sdp)
            model.set_local(text.kind, text)
            self.send(text.kind, text)
            return effects

        self.operation(predicted, real)

    def run_task(self) -> None:
        """The first that is queued."""
        if self.model.tasks and self.real.tasks:
            self.steps += 1
            fires = self.model.run_task()
            self.real.tasks.pop(0)()
            fired, self.real.fired[:] = list(self.real.fired), []
            assert fired == ([NEEDED] if fires else []), (fired, fires)
            self.check()

    # Everything that can be seen

    def check(self) -> None:
        """Compare."""
        jsep, model = self.real.jsep, self.model
        assert self.real.state == model.state, (self.real.state, model.state)
        self.same_slots(
            (jsep.current_local, jsep.pending_local, jsep.current_remote, jsep.pending_remote)
        )
        slot = {self.ices[each] for each in model.slot}
        assert jsep.needs.to_replace == slot, "[[LocalIceCredentialsToReplace]]"
        if model.state != CLOSED:
            assert len(self.real.tasks) == model.tasks, (len(self.real.tasks), model.tasks)
        if model.state == STABLE:
            assert jsep.needs.flag == model.flag, "[[NegotiationNeeded]]"
        shown = [
            (each.kind, each.mid, str(each.direction), each.current and str(each.current))
            for each in jsep.media.transceivers
        ]
        visible = [each.visible for each in model.transceivers]
        assert shown == visible, (shown, visible)
        self.check_generations()

    def check_generations(self) -> None:
        model, real, names = self.model, self.real, self.ices
        assert {*real.staged} == {names[each].ufrag for each in model.staged}, "staged"
        running = {names[ours].ufrag: names[theirs] for ours, theirs in model.running.items()}
        assert real.started == running, "started"
        pairs = (
            (model.current_local, model.current_remote),
            (model.pending_local, model.pending_remote),
        )
        for ours, theirs in pairs:
            if ours and theirs and model.running.get(ours.text.ice) == theirs.text.ice:
                name = names[theirs.text.ice].ufrag
                ports = [port for ufrag, port in real.received if ufrag == name]
                assert sorted(ports) == sorted(model.remotes[theirs.text.ice].ports), "candidates"


def same(real: Description | None, model: Held | None, ices: dict[int, Credentials]) -> None:
    """One of the four slots."""
    assert (real is None) == (model is None), (real, model)
    if real is None or model is None:
        return
    lines, credentials, said = read(real.sdp)
    assert real.type == model.type, (real.type, model.type)
    assert credentials == ices[model.text.ice], "credentials"
    same_lines(model.text.lines, lines)
    expected = [tuple(model.candidates.get(place, ())) for place in range(len(lines))]
    assert list(said) == expected, (said, expected)


def same_lines(model: Sequence[Line], real: Sequence[Line]) -> None:
    """Rejected sections need not say a direction."""
    assert len(model) == len(real), (model, real)
    for ours, theirs in zip(model, real, strict=True):
        assert (ours.kind, ours.mid, ours.rejected) == (theirs.kind, theirs.mid, theirs.rejected), (
            ours,
            theirs,
        )
        assert ours.rejected or ours.direction == theirs.direction, (ours, theirs)
