"""KubeShield: live exposure auditing of Kubernetes, endpoint by vantage, with proof."""

__version__ = "0.1.0"
