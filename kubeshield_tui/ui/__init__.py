"""WHAT WE SHOW: the only door to Textual. Reads the store, sends intents; knows no socket and no cluster."""
