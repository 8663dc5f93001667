"""TRAINING RANGE: an embedded cluster with real sockets on loopback. Its truth is written in TOML, never computed."""
