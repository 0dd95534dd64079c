"""Programs of other WebRTC stacks, each of which is asked by JSON lines over a UNIX socket.

A request is ``{"do": "offer" | "answer" | "answered" | "candidate" | "state" | "close", ...}``;
``sdp`` and ``candidate`` (a line, empty at their end) go with it, and ``restart`` with an offer.
The answer has ``sdp``, ``state`` or nothing, or an ``error``.
"""
