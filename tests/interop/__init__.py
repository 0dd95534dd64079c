"""Other people's ICE as the judge: each peer is a child process that speaks JSON lines."""
