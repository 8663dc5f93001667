"""What can go wrong on our side. What the network did is data (Observation), never one of these."""

from __future__ import annotations


class KubeShieldError(Exception):
    """Something we could not do: `message` names what and where, `hint` says what to do about it."""

    exit_code = 3
    """Exit code of a command that ends with this error (2 wrong use or settings, 3 incomplete)."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message


class SettingsError(KubeShieldError):
    """What the user gave (flag, file, environment) can't be used: wrong before anything was asked."""

    exit_code = 2


class ClusterError(KubeShieldError):
    """A Kubernetes API could not be asked."""


class VantageError(KubeShieldError):
    """A vantage could not be opened or used."""


class VantageLost(VantageError):  # noqa: N818 - a fact in the product's words, as in "the vantage is lost"
    """The control channel to an open vantage ended: what it had not answered is `lost`, never `filtered`."""


class ConsentMissing(SettingsError):  # noqa: N818 - a fact, as above
    """A vantage would create objects and nobody said yes."""


class ProbeError(KubeShieldError):
    """A probe could not be put together or its answer could not be read."""


class HistoryError(KubeShieldError):
    """A record of a session could not be written or read."""
