"""Checks a RayJob without a cluster: ``check.py rayjob.yaml``.

Kubernetes' own schemas know no RayJob, but its pod templates are most of it: each is validated as a Pod. Of the rest it
checks what would else show only when the job is applied.
"""

import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml


def problems(job: dict[str, Any]) -> list[str]:
    """What is wrong with a RayJob; empty: nothing that can be seen without a cluster."""
    found = []
    if (job.get("apiVersion"), job.get("kind")) != ("ray.io/v1", "RayJob"):
        return ["not a RayJob of ray.io/v1"]
    cluster = job["spec"]["rayClusterSpec"]
    groups = {"head": cluster["headGroupSpec"]}
    for group in cluster["workerGroupSpecs"]:
        groups[group["groupName"]] = group
        if not group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]:
            found.append(f"{group['groupName']}: replicas are not between minReplicas and maxReplicas")
    for name, group in groups.items():
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": group["template"]["spec"]}
        try:
            kubernetes_validate.validate(pod, kubernetes_validate.latest_version(), strict=True)
        except kubernetes_validate.ValidationError as error:
            found.append(f"{name}: {'.'.join(map(str, error.path))}: {error.message}")
        if not all(isinstance(value, str) for value in group["rayStartParams"].values()):
            found.append(f"{name}: rayStartParams must be strings")
    return found


if __name__ == "__main__":
    jobs = {path: yaml.safe_load(Path(path).read_text("utf-8")) for path in sys.argv[1:]}
    wrong = [f"{path}: {problem}" for path, job in jobs.items() for problem in problems(job)]
    sys.stderr.write("".join(f"{line}\n" for line in wrong))
    sys.exit(bool(wrong))
