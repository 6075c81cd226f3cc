"""Loopback is never reached through a proxy."""

from __future__ import annotations

from collections.abc import MutableMapping

HOSTS = ("127.0.0.1", "localhost", "::1")


def spare_loopback(environment: MutableMapping[str, str]) -> None:
    """Adds the loopback interface to ``NO_PROXY`` and ``no_proxy``, whichever a library or a child process reads.

    What the user has excluded stays excluded: where only one of the two is set, its hosts go into both.
    """
    told = {name: environment.get(name, "") for name in ("NO_PROXY", "no_proxy")}
    for name, other in (("NO_PROXY", "no_proxy"), ("no_proxy", "NO_PROXY")):
        hosts = [host.strip() for host in (told[name] or told[other]).split(",") if host.strip()]
        environment[name] = ",".join([*hosts, *(host for host in HOSTS if host not in hosts)])
