"""Programs that run a WebRTC stack against itself and print what it described.

Each prints one JSON object: the text of an offer or answer by the name of its story.

data        an offer of one data channel
answer      the answer to it
restart     the offer of an ICE restart after that
trickled    an offer as it is before there are candidates
media       audio, video (with simulcast where there is any) and data, bundled
media_answer
recvonly    wants to see and hear, and has nothing to show
stopped     an offer with a section that was stopped, port 0
inactive    an offer of who has no port 0 for that
"""
