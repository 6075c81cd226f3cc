"""Lets ``prefect deployment run build-dataset`` mean ``build-dataset/build-dataset``.

Prefect wants ``<FLOW_NAME>/<DEPLOYMENT_NAME>`` and refuses a bare name. Prefect loads this module through the entry
point group ``prefect.plugins`` where plugins are switched on, as the repository's ``pyproject.toml`` does for every
Prefect command typed in the repository's root. Where they are off, only the long form works.
"""

from __future__ import annotations

import functools
import logging
from typing import Any

logger = logging.getLogger(__name__)


def full_name(name: str) -> str:
    """``NAME/NAME`` for a deployment's bare name; anything else as it is."""
    return name if "/" in name else f"{name}/{name}"


def expand_bare_names(client: type) -> None:
    """Makes ``client.read_deployment_by_name`` take bare names; done twice, it stays done once."""
    read = client.read_deployment_by_name  # type: ignore[attr-defined]
    if hasattr(read, "takes_bare_names"):
        return

    @functools.wraps(read)
    async def read_deployment_by_name(self: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        return await read(self, full_name(name), *args, **kwargs)

    read_deployment_by_name.takes_bare_names = True  # type: ignore[attr-defined]
    client.read_deployment_by_name = read_deployment_by_name  # type: ignore[attr-defined]


def _setup_environment(*, ctx: Any) -> None:
    """Prefect's start-up hook; sets no variables. A Prefect that moved the method keeps its own behaviour."""
    try:
        from prefect.client.orchestration import PrefectClient

        expand_bare_names(PrefectClient)
    except (ImportError, AttributeError) as error:
        logger.debug("bare deployment names stay unknown to this Prefect: %s", error)


try:
    from prefect.plugins import register_hook
except ImportError:  # a Prefect without plugins never loads this module, but importing it must not fail
    pass
else:
    setup_environment = register_hook(_setup_environment)
