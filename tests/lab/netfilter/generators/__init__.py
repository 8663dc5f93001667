"""Rulesets made by the programs that hosts run, judged by the kernel: firewalld, ufw, dockerd and kube-proxy."""
