"""SO WHAT: from what was declared and observed to a verdict with proof. Pure: no I/O, no clock."""
