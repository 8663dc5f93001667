"""HOW it is asked: the agent, its line protocol, and how its answers read."""
