"""Descriptions to test with: real ones of libwebrtc (by @roamhq/wrtc 0.10) and a small one."""

from __future__ import annotations

from pathlib import Path

REAL = ("data_channel_offer", "data_channel_answer", "data_channel_restart", "audio_video_offer")

SMALL = (
    "v=0",
    "o=- 4611 2 IN IP4 127.0.0.1",
    "s=-",
    "t=0 0",
    "a=group:BUNDLE 0",
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
    "c=IN IP4 0.0.0.0",
    "a=mid:0",
    "a=ice-ufrag:8hhY",
    "a=ice-pwd:asd88fgpdd777uzjYhagZg",
    "a=x-opaque: kept  as it is ",
)


def real(name: str) -> str:
    """The text, byte for byte."""
    return (Path(__file__).parent / "real" / f"{name}.sdp").read_bytes().decode()


def text(*lines: str, end: str = "\r\n") -> str:
    """Lines with ends."""
    return "".join(line + end for line in lines)


def small(*more: str, without: str = "") -> str:
    """The small one, with *more* at its end and *without* the lines that start so."""
    kept = [line for line in SMALL if not without or not line.startswith(without)]
    return text(*kept, *more)
