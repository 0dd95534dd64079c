"""GStreamer's webrtcbin, by the system's Python, which alone has its introspection."""

from __future__ import annotations

import json
import sys
from typing import Any

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstWebRTC", "1.0")
gi.require_version("GstSdp", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

PATIENCE = 5
"""Seconds that gathering may take."""
AUDIO_CAPS = (
    "application/x-rtp,media=audio,encoding-name=OPUS,payload=97,clock-rate=48000,"
    "encoding-params=(string)2"
)
VIDEO_CAPS = "application/x-rtp,media=video,encoding-name=VP8,payload=96,clock-rate=90000"
AUDIO = f'audiotestsrc is-live=1 ! opusenc ! rtpopuspay ! capsfilter caps="{AUDIO_CAPS}"'
VIDEO = f'videotestsrc is-live=1 ! vp8enc ! rtpvp8pay ! capsfilter caps="{VIDEO_CAPS}"'
told: dict[str, str] = {}


class Connection:
    """One webrtcbin in a pipeline of its own."""

    def __init__(self, *sources: str) -> None:
        self._pipeline = Gst.Pipeline.new(None)
        self.rtc = Gst.ElementFactory.make("webrtcbin", None)
        self.rtc.set_property("bundle-policy", GstWebRTC.WebRTCBundlePolicy.MAX_BUNDLE)
        self._pipeline.add(self.rtc)
        for source in sources:
            made = Gst.parse_bin_from_description(source, True)
            self._pipeline.add(made)
            made.link(self.rtc)

    def play(self) -> None:
        """Begin, which is when its negotiation can."""
        self._pipeline.set_state(Gst.State.PLAYING)
        self._pipeline.get_state(2 * Gst.SECOND)

    def close(self) -> None:
        """End."""
        self._pipeline.set_state(Gst.State.NULL)

    def describe(self, verb: str) -> Any:
        """Create an offer or answer and apply it; with its candidates."""
        reply = self._ask(f"create-{verb}", Gst.Structure.new_empty("options"))
        self._ask("set-local-description", reply.get_value(verb))
        complete = GstWebRTC.WebRTCICEGatheringState.COMPLETE
        loop = GLib.MainLoop()
        rounds = iter(range(PATIENCE * 20))

        def look() -> bool:
            done = self.rtc.get_property("ice-gathering-state") == complete
            if done or next(rounds, None) is None:
                loop.quit()
                return False
            return True

        GLib.timeout_add(50, look)
        loop.run()
        return self.rtc.get_property("local-description")

    def take(self, description: Any) -> None:
        """The other's."""
        self._ask("set-remote-description", description)

    def _ask(self, signal: str, argument: Any) -> Any:
        promise = Gst.Promise.new()
        self.rtc.emit(signal, argument, promise)
        promise.wait()
        return promise.get_reply()


def text(description: Any) -> str:
    """What would be signaled."""
    return str(description.sdp.as_text())


def exchange(offerer: Connection, answerer: Connection, name: str) -> str:
    """The answer."""
    offer = offerer.describe("offer")
    told[name] = text(offer)
    answerer.take(offer)
    answer = answerer.describe("answer")
    offerer.take(answer)
    return text(answer)


def main() -> None:
    """All of them."""
    one, other = Connection(), Connection()
    one.play()
    other.play()
    one.rtc.emit("create-data-channel", "lab", None)
    told["answer"] = exchange(one, other, "data")
    one.close()
    other.close()

    one, other = Connection(AUDIO, VIDEO), Connection(AUDIO, VIDEO)
    one.play()
    other.play()
    one.rtc.emit("create-data-channel", "lab", None)
    told["media_answer"] = exchange(one, other, "media")
    one.close()
    other.close()

    one = Connection()
    direction = GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY
    one.rtc.emit("add-transceiver", direction, Gst.Caps.from_string(AUDIO_CAPS))
    one.play()
    told["recvonly"] = text(one.describe("offer"))
    one.close()


Gst.init(None)
_ = GstSdp  # its types are what descriptions are made of
main()
json.dump(told, sys.stdout)
