"""The lab: real networks of namespaces with NATs, a TURN server, daemons and numbered traffic.

Nothing in it has a link to the machine's own network. docs/lab.md says what there is.
"""
