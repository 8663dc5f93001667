"""Collectors: read-only commands on hosts, their output kept as it was said."""
