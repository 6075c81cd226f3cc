"""Which Ray cluster a build uses: one that is there, or one of its own on this machine."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from pipeline.config import UserError

logger = logging.getLogger(__name__)
AUTO, LOCAL = "auto", "local"
KNOCK_SECONDS = 10.0
TRIES, BUSY_HEAD = 3, "Initialization failure from server"
"""How often a head is asked to begin, and what Ray says when it does not."""
OBJECT_STORE_BYTES = 128 << 20
"""Of a cluster of our own: tasks pass names and digests; pictures travel through fragments."""


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Ray is connected while the block runs; where it is connected already, that connection is used.

    Args:
        address: ``auto``: the cluster that ``RAY_ADDRESS`` names or that this machine belongs to, else one of our own
            on this machine, with all its cores and GPUs. ``local``: one of our own. Else a cluster's ``HOST:PORT`` or
            ``ray://HOST:PORT``.

    Raises:
        UserError: Ray is not installed, or no cluster answers.
    """
    try:
        import ray
    except ImportError as error:
        raise UserError("--engine ray: Ray is not installed; pip install 'spotdiff10k[ray]'") from error
    if ray.is_initialized():
        yield
        return
    _connect(address)
    try:
        yield
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Asks whether anybody listens at an address with a port; Ray itself would try for minutes.

    Raises:
        OSError: Nobody does.
    """
    place = urlsplit(f"//{address.removeprefix('ray://')}")
    if place.hostname and place.port:
        socket.create_connection((place.hostname, place.port), KNOCK_SECONDS).close()


def _attach(address: str, quiet: dict[str, Any]) -> None:
    """Connects to a cluster that is there; its head starts a process for each client, and a busy one may fail to."""
    import ray

    for tries_left in reversed(range(TRIES)):
        try:
            ray.init(address, **quiet)
            return
        except ConnectionError as error:
            if not tries_left or BUSY_HEAD not in str(error):
                raise
            logger.warning("the head of the Ray cluster was too busy to begin; trying again")


def _connect(address: str) -> None:
    import ray

    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    try:
        _knock(os.environ.get("RAY_ADDRESS", "") if address == AUTO else address)
        if address == AUTO:
            try:
                _attach(AUTO, quiet)
                return
            except ConnectionError:
                if os.environ.get("RAY_ADDRESS"):
                    raise
        if address in (AUTO, LOCAL):
            ray.init(LOCAL, include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES, **quiet)
        else:
            _attach(address, quiet)
    except (OSError, RuntimeError, ValueError, ImportError) as error:
        place = os.environ.get("RAY_ADDRESS", address) if address == AUTO else address
        first = str(error).strip().partition("\n")[0]
        raise UserError(
            f"--ray-address {place}: no Ray cluster answers ({first}); start one with `ray start --head`, "
            "or use --ray-address local"
        ) from error
