"""An export to the hub: what would be sent, and sending it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pipeline import store
from pipeline.config import UserError
from pipeline.exports.destination import NOTES

_REPO = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")


def check_target(repo: str, dest: str) -> None:
    """Looks before the work is done whether it can be sent.

    Raises:
        UserError: No name of a repo, or the export is not on this machine.
    """
    if not store.is_local(dest):
        raise UserError(f"--push-to-hub: {dest} is not on this machine; export to a local folder to push it")
    if not _REPO.fullmatch(repo):
        raise UserError(f"--push-to-hub {repo!r}: must be owner/name")


def push(dest: str, repo: str, files: Mapping[str, tuple[int, str]], *, really: bool) -> str:
    """Sends an export to a dataset repo, private unless it is there already; what the hub has is not sent again.

    Args:
        dest: The export's folder.
        repo: ``owner/name``.
        files: Size and sha256 by path.
        really: False: asks nobody, sends nothing.

    Returns:
        What was or would be done, one line.

    Raises:
        UserError: The hub cannot be reached or refuses.
    """
    said = f"{len(files) + 1} files, {sum(size for size, _ in files.values())} bytes"
    if not really:
        return f"dry run: {said} would go to the dataset {repo} (private if new); --yes sends them"
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        api = HfApi()
        api.create_repo(repo, repo_type="dataset", private=True, exist_ok=True)
        folder = store.filesystem(dest)[1]
        api.upload_folder(repo_id=repo, folder_path=folder, repo_type="dataset", ignore_patterns=[f"{NOTES}/*"])
    except Exception as error:
        http = type(error).__module__.partition(".")[0] in ("httpx", "httpx2")  # whichever the hub's client uses
        if not http and not isinstance(error, HfHubHTTPError | OSError | ValueError):
            raise
        raise UserError(
            f"--push-to-hub {repo}: {type(error).__name__}: {str(error).splitlines()[0]}; log in with `hf auth login`, "
            "and see that the hub can be reached"
        ) from error
    return f"{said} sent to the dataset {repo}"
