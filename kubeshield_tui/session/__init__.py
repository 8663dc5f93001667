"""WHAT WE KNOW: the fold of events, and the composition root that makes them happen."""
