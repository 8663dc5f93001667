"""WHY: what hosts and clusters say of their rules. Collectors do I/O, evaluators are pure."""
