"""Programs of other WebRTC stacks, each of which is asked by JSON lines over a UNIX socket.

A request is ``{"do": VERB, ...}`` with one of the verbs ``offer``, ``answer``, ``answered``,
``candidate``, ``media`` (the next offer has audio and video, too), ``again`` (another connection in
the place of the one there was, which is closed; libdatachannel's stays with a true ``keep``),
``state``, ``version`` and ``close``. ``sdp`` goes with it, or ``candidate`` (a line, empty at their
end) and ``mid``, and ``restart`` with an offer.
The answer has ``sdp``, ``state``, ``version`` or nothing, or an ``error``.
"""
