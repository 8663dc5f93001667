"""WHEN: what is asked next, how much at once, and when it is asked again."""
