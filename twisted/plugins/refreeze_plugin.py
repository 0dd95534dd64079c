"""One lazy door for twistd: nothing of refreeze is imported until the command is used."""

from twisted.application.service import ServiceMaker

refreeze = ServiceMaker(
    "refreeze",
    "refreeze.tap",
    "Find a UDP path between two machines with ICE, and keep it.",
    "refreeze",
)
