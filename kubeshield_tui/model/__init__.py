"""The nouns: frozen records without I/O. Everything else is written in terms of these."""
