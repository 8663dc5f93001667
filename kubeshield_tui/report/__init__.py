"""WHAT WE PRINT: the store as text, JSON or a stream of events."""
