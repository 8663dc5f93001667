"""WHY a packet passes a Linux host or not: rulesets as the host prints them, judged without asking the host."""
