"""Changes to text of lines, of which the most are still near to what a parser takes."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from typing import Final

from attrs import define, field

MAX_LENGTH: Final = 96 * 1024
"""Characters of an input: more than any parser here takes."""

_NUMBERS: Final = (
    *("-1", "0", "1", "00", "9", "255", "256", "257", "65535", "65536", "2147483647", "2147483648"),
    *("9999999999", "99999999999", "4294967296", "18446744073709551616", "1e3", "0x10", "\u0663"),
)
_CHARACTERS: Final = (
    *"\r\n\0\t :=/;,%+*\"'<>{}[]\\\x7f\x85",
    "\u2028",
    "\u00e9",
    "\ud800",
    "\U0001f600",
)
_RUNS: Final = (21, 22, 32, 33, 64, 255, 256, 257, 1024, 1025, 70000)
_WORD: Final = re.compile(r"[^ :=/;,\r\n]+")
_TIMES: Final = (2, 3, 10, 33, 201, 1001)


@define(eq=False)
class Mutator:
    """I change one input at a time, with pieces of *others* and of a *dictionary*."""

    draw: random.Random
    others: Sequence[str]
    dictionary: Sequence[str] = ()
    limit: int = 64 * 1024
    """Characters that a parser takes."""
    _ways: Sequence[Callable[[str], str]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._ways = (
            *(self.word, self.word, self.word, self.insert_entry, self.character, self.cut),
            *(self.drop_line, self.double_line, self.move_line, self.foreign_line, self.repeat),
            *(self.shorten_line, self.ends, self.crossed, self.same_attribute),
        )

    def changed(self, text: str) -> str:
        """After one to six changes."""
        for _ in range(self.draw.choice((1, 1, 2, 3, 6))):
            text = self.draw.choice(self._ways)(text)[:MAX_LENGTH]
        return self.fill(text) if self.draw.random() < 0.005 else text

    # Within a line

    def word(self, text: str) -> str:
        """Another word, number or run of characters instead of one."""
        words = list(_WORD.finditer(text))
        if not words:
            return text
        found = self.draw.choice(words)
        return text[: found.start()] + self._some_word(found[0]) + text[found.end() :]

    def _some_word(self, old: str) -> str:
        match self.draw.randrange(6):
            case 0:
                return self.draw.choice(_NUMBERS)
            case 1:
                return (old[0] if self.draw.random() < 0.5 else "a") * self.draw.choice(_RUNS)
            case 2:
                return old.swapcase()
            case 3:
                return old + self.draw.choice(_CHARACTERS)
            case 4 if self.dictionary:
                return self.draw.choice(self.dictionary)
            case _:
                other = _WORD.findall(self.draw.choice(self.others))
                return self.draw.choice(other) if other else ""

    def character(self, text: str) -> str:
        """One instead of another, or between two."""
        at = self.draw.randrange(len(text) + 1)
        new = self.draw.choice(_CHARACTERS)
        return text[:at] + new + text[at + self.draw.randrange(2) :]

    def cut(self, text: str) -> str:
        """Without a few characters in the middle, or without its end."""
        at = self.draw.randrange(len(text) + 1)
        if self.draw.random() < 0.1:
            return text[:at]
        return text[:at] + text[at + self.draw.randint(1, 8) :]

    def shorten_line(self, text: str) -> str:
        """A line without its end."""
        lines = text.split("\n")
        at = self.draw.randrange(len(lines))
        lines[at] = lines[at][: self.draw.randint(0, len(lines[at]))]
        return "\n".join(lines)

    def insert_entry(self, text: str) -> str:
        """A line of the dictionary somewhere, or an entry at the end of a line."""
        if not self.dictionary:
            return text
        lines = text.split("\n")
        at = self.draw.randrange(len(lines))
        entry = self.draw.choice(self.dictionary)
        if "=" in entry:
            lines.insert(at, entry + ("\r" if text.endswith("\r\n") else ""))
        else:
            lines[at] = f"{lines[at].removesuffix(chr(13))} {entry}"
        return "\n".join(lines)

    # Lines

    def drop_line(self, text: str) -> str:
        """One line fewer."""
        lines = text.split("\n")
        del lines[self.draw.randrange(len(lines))]
        return "\n".join(lines)

    def double_line(self, text: str) -> str:
        """A line once more, anywhere."""
        lines = text.split("\n")
        lines.insert(self.draw.randrange(len(lines)), self.draw.choice(lines))
        return "\n".join(lines)

    def move_line(self, text: str) -> str:
        """A line elsewhere."""
        lines = text.split("\n")
        line = lines.pop(self.draw.randrange(len(lines)))
        lines.insert(self.draw.randint(0, len(lines)), line)
        return "\n".join(lines)

    def foreign_line(self, text: str) -> str:
        """A line of another input."""
        lines = text.split("\n")
        line = self.draw.choice(self.draw.choice(self.others).split("\n"))
        lines.insert(self.draw.randint(0, len(lines)), line)
        return "\n".join(lines)

    def same_attribute(self, text: str) -> str:
        """The value that another input has for the same name."""
        lines = text.split("\n")
        at = self.draw.randrange(len(lines))
        name = lines[at].partition(":")[0]
        other = self.draw.choice(self.others).split("\n")
        values = [line for line in other if name and line.startswith(name)]
        if values:
            lines[at] = self.draw.choice(values)
        return "\n".join(lines)

    def repeat(self, text: str) -> str:
        """A line, or a few, very often."""
        lines = text.split("\n")
        at = self.draw.randrange(len(lines))
        block = lines[at : at + self.draw.choice((1, 1, 1, 4))]
        times = self.draw.choice(_TIMES)
        if len("\n".join(block)) * times <= MAX_LENGTH:
            lines[at:at] = block * times
        return "\n".join(lines)

    # All of it

    def fill(self, text: str) -> str:
        """With a line so long, or so many lines, that it has about as much as may be."""
        size = self.limit - len(text) + self.draw.randint(-3, 3)
        if size < 8:
            return text
        lines = text.split("\n")
        count = self.draw.choice((1, 2, 900))
        lines[-1:-1] = ["a=x:" + "y" * max(0, size // count - 5)] * count
        return "\n".join(lines)

    def ends(self, text: str) -> str:
        """Other line ends."""
        unix = text.replace("\r\n", "\n")
        return unix.replace("\n", self.draw.choice(("\n", "\r\n", "\r\n", "\r", "\n\n", "\r\r\n")))

    def crossed(self, text: str) -> str:
        """The beginning of this one and the end of another."""
        mine, theirs = text.split("\n"), self.draw.choice(self.others).split("\n")
        return "\n".join(
            mine[: self.draw.randint(0, len(mine))] + theirs[self.draw.randint(0, len(theirs)) :]
        )
