"""``signaling = "http"``: sessions as resources in the manner of RFC 9725, for browsers."""
