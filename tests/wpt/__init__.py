"""web-platform-tests' WebRTC files, run against :class:`refreeze.peer.RTCPeerConnection`.

They are written for a browser, so Node is the browser: ``page/`` gives it a page's globals, whose
every call goes to :mod:`tests.wpt.bridge`, a process with the connections, the fake network and
virtual time. The files themselves are not here; ``python -m tests.wpt CHECKOUT`` takes any.
"""
