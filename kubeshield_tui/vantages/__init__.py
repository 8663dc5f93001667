"""FROM WHERE: places that can ask, each behind the same Protocol."""
