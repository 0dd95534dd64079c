"""libnice as a peer: a program for the system's Python, which has its introspection.

``/usr/bin/python3 nice_agent.py SOCKET`` listens on a UNIX socket for one client, takes one JSON
object a line and answers each with one: what was asked for, or ``{"error": WORDS}``. There is one
agent with one component, which sends everything back that it gets. Commands:

    {"do": "open", "controlling": true, "turn": [HOST, PORT, USER, PASSWORD]}
    {"do": "local"}                       answers when all is gathered
    {"do": "restart"}
    {"do": "remote", "ufrag": U, "pwd": P}
    {"do": "candidate", "candidate": LINE or null for the end of them}
    {"do": "state"}                       all states so far, the types of the selected pair
"""

from __future__ import annotations

import ctypes
import json
import socket
import sys
from typing import Any

import gi

gi.require_version("Nice", "0.1")
from gi.repository import GLib, Nice  # noqa: E402  # after the version was chosen

_COMPONENT = 1
_RECEIVER = ctypes.CFUNCTYPE(
    None,
    *(ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint),
    *(ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p),
)
_library = ctypes.CDLL("libnice.so.10")
_library.nice_agent_attach_recv.argtypes = [
    *(ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint),
    *(ctypes.c_void_p, _RECEIVER, ctypes.c_void_p),
]
_library.nice_agent_send.argtypes = [
    *(ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint),
    *(ctypes.c_uint, ctypes.c_void_p),
]
_CANDIDATE = ctypes.POINTER(ctypes.POINTER(ctypes.c_int))
"""A NiceCandidate begins with its type."""
_TYPES = ("host", "srflx", "prflx", "relay")
_library.nice_agent_get_selected_pair.argtypes = [
    *(ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint),
    *(_CANDIDATE, _CANDIDATE),
]


class Agent:
    """One NiceAgent with one stream."""

    def __init__(self, command: dict[str, Any]) -> None:
        options = Nice.AgentOption
        self.nice = Nice.Agent.new_full(
            GLib.MainContext.default(),
            Nice.Compatibility.RFC5245,
            options.ICE_TRICKLE | options.REGULAR_NOMINATION | options.CONSENT_FRESHNESS,
        )
        self.nice.props.controlling_mode = command["controlling"]
        self.nice.props.upnp = False
        self.nice.props.ice_tcp = False
        self.gathered = False
        self.states: list[str] = []
        self.stream = self.nice.add_stream(1)
        if command.get("turn"):
            host, port, user, password = command["turn"]
            self.nice.props.stun_server, self.nice.props.stun_server_port = host, port
            udp = Nice.RelayType.UDP
            self.nice.set_relay_info(*(self.stream, _COMPONENT, host, port), user, password, udp)
        self.nice.connect("candidate-gathering-done", self._gathering_done)
        self.nice.connect("component-state-changed", self._state_changed)
        # Introspection leaves this one out, and without it no socket is ever read.
        self._receiver = _RECEIVER(self._echo)
        self._pointer = hash(self.nice)
        attached = _library.nice_agent_attach_recv(
            self._pointer, self.stream, _COMPONENT, None, self._receiver, None
        )
        if not attached or not self.nice.gather_candidates(self.stream):
            raise RuntimeError("libnice does not begin")

    def _gathering_done(self, *_: Any) -> None:
        self.gathered = True

    def _state_changed(self, _agent: Any, _stream: int, _component: int, state: int) -> None:
        self.states.append(Nice.component_state_to_string(Nice.ComponentState(state)))

    def _echo(self, _a: Any, _s: int, _c: int, length: int, data: int, _user: Any) -> None:
        _library.nice_agent_send(self._pointer, self.stream, _COMPONENT, length, data)

    def local(self) -> dict[str, Any]:
        """What the other side has to know."""
        while not self.gathered:
            GLib.MainContext.default().iteration(True)
        _, ufrag, password = self.nice.get_local_credentials(self.stream)
        found = self.nice.get_local_candidates(self.stream, _COMPONENT)
        lines = [self.nice.generate_local_candidate_sdp(each) for each in found]
        return {"ufrag": ufrag, "pwd": password, "candidates": lines}

    def do(self, command: dict[str, Any]) -> dict[str, Any]:
        """Any command but ``open``."""
        match command["do"]:
            case "local":
                return self.local()
            case "restart":
                if not self.nice.restart():
                    raise RuntimeError("libnice does not restart")
            case "remote":
                self.nice.set_remote_credentials(self.stream, command["ufrag"], command["pwd"])
            case "candidate" if command["candidate"] is None:
                self.nice.peer_candidate_gathering_done(self.stream)
            case "candidate":
                line = f"a=candidate:{command['candidate']}"
                parsed = self.nice.parse_remote_candidate_sdp(self.stream, line)
                self.nice.set_remote_candidates(self.stream, _COMPONENT, [parsed])
            case "state":
                return {"states": self.states, "pair": self._pair()}
        return {}

    def _pair(self) -> str | None:
        """The types of the selected pair, which introspection wants to have as arguments."""
        local, remote = ctypes.POINTER(ctypes.c_int)(), ctypes.POINTER(ctypes.c_int)()
        found = _library.nice_agent_get_selected_pair(
            self._pointer, self.stream, _COMPONENT, ctypes.byref(local), ctypes.byref(remote)
        )
        return f"{_TYPES[local[0]]}/{_TYPES[remote[0]]}" if found else None


def main() -> None:
    """Serve one client until it hangs up."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(sys.argv[1])
    listening.listen(1)
    client, _ = listening.accept()
    lines = client.makefile("rw", encoding="utf-8")
    loop = GLib.MainLoop()
    agent: list[Agent] = []

    def asked(_source: Any, _condition: Any) -> bool:
        line = lines.readline()
        if not line:
            loop.quit()
            return False
        command = json.loads(line)
        try:
            if command["do"] == "open":
                agent.append(Agent(command))
                answer: dict[str, Any] = {}
            else:
                answer = agent[0].do(command)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        lines.write(json.dumps(answer) + "\n")
        lines.flush()
        return True

    # One line at a time: the client waits for each answer.
    GLib.io_add_watch(client.fileno(), GLib.IOCondition.IN | GLib.IOCondition.HUP, asked)
    loop.run()


if __name__ == "__main__":
    main()
