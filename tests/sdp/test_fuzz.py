"""Hostile text: an SdpError or a description that can be read and written, never anything else."""

from __future__ import annotations

import random

from twisted.trial.unittest import SynchronousTestCase

from refreeze.sdp import SdpError, SessionDescription, parse_candidate

from .samples import REAL, real

SEED = random.SystemRandom().getrandbits(32)
PIECES = (*"\r\n\0: =%", "\r\n", "a=", "m=", "-1", "65536", "::", "\u0660", "\ud800")


def mutated(draw: random.Random, sdp: str) -> str:
    """A few cuts, doublings, swaps and insertions."""
    for _ in range(draw.randint(1, 6)):
        lines = sdp.split("\r\n")
        at = draw.randrange(len(lines))
        position = draw.randrange(len(sdp) + 1)
        match draw.randrange(6):
            case 0:
                del lines[at]
                sdp = "\r\n".join(lines)
            case 1:
                lines.insert(draw.randrange(len(lines)), lines[at])
                sdp = "\r\n".join(lines)
            case 2:
                lines[at] = lines[at][: draw.randint(0, len(lines[at]))]
                sdp = "\r\n".join(lines)
            case 3:
                sdp = sdp[:position] + draw.choice(PIECES) + sdp[position:]
            case 4:
                sdp = sdp[:position] + chr(draw.randrange(256)) + sdp[position + 1 :]
            case _:
                lines[at] = lines[at].replace(draw.choice("0123456789abc:/ "), draw.choice(PIECES))
                sdp = "\r\n".join(lines)
    return sdp


class FuzzTests(SynchronousTestCase):
    """Seeded; the seed is in every failure."""

    def test_mutated_descriptions(self) -> None:
        draw = random.Random(SEED)
        good = 0
        for turn in range(1500):
            sdp = mutated(draw, real(draw.choice(REAL)))
            try:
                description = SessionDescription.parse(sdp)
            except SdpError:
                continue
            except Exception as error:
                self.fail(f"seed {SEED} turn {turn}: {error!r}")
            good += 1
            again = SessionDescription.parse(description.format())
            self.assertEqual(again.format(), description.format(), f"seed {SEED}")
            for media in description.media:
                _ = media.fingerprints, media.ice_options, media.setup, media.tls_id
            _ = description.ice_pacing, description.tagged, description.origin
        self.assertGreater(good, 50, f"seed {SEED}")

    def test_mutated_candidates(self) -> None:
        draw = random.Random(SEED)
        line = "candidate:1 1 udp 16777215 198.51.100.7 6000 typ relay raddr ::1 rport 7 ufrag abcd"
        for turn in range(3000):
            try:
                parse_candidate(mutated(draw, line))
            except SdpError:
                continue
            except Exception as error:
                self.fail(f"seed {SEED} turn {turn}: {error!r}")
