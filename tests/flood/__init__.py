"""A flood of bad packets beside many live sessions, on real sockets."""
