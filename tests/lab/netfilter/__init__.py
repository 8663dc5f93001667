"""The kernel as the judge of firewall evaluation: random rulesets, real packets, and the kernel's own trace of them."""
