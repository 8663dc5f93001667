"""The Pod Security Standard `restricted`, as far as a probe's pod can break it.

Source: kubernetes.io, "Pod Security Standards", profile Restricted (and the Baseline rules that it includes).
"""

from __future__ import annotations

from typing import Any

ALLOWED_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}


def violations(spec: dict[str, Any]) -> list[str]:
    """What in a pod's spec the standard forbids, in its own words."""
    wrong = [name for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    pod = spec.get("securityContext") or {}
    if not spec.get("containers"):
        wrong.append("no containers")
    for volume in spec.get("volumes") or ():
        wrong.extend(f"volume type {kind}" for kind in set(volume) - {"name"} - ALLOWED_VOLUMES)
    for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
        context = container.get("securityContext") or {}
        capabilities = context.get("capabilities") or {}
        if context.get("allowPrivilegeEscalation") is not False:
            wrong.append("allowPrivilegeEscalation != false")
        if context.get("privileged"):
            wrong.append("privileged")
        if "ALL" not in (capabilities.get("drop") or ()):
            wrong.append("unrestricted capabilities")
        if set(capabilities.get("add") or ()) - {"NET_BIND_SERVICE"}:
            wrong.append("added capabilities")
        if {**pod, **context}.get("runAsNonRoot") is not True:
            wrong.append("runAsNonRoot != true")
        if {**pod, **context}.get("runAsUser") == 0:
            wrong.append("runAsUser=0")
        profile = (context.get("seccompProfile") or pod.get("seccompProfile") or {}).get("type")
        if profile not in {"RuntimeDefault", "Localhost"}:
            wrong.append("seccompProfile")
        wrong.extend("hostPort" for port in container.get("ports") or () if port.get("hostPort"))
    return wrong
