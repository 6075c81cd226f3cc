"""Errors of the system and of libraries become a message with a remedy, or keep their traceback."""

from __future__ import annotations

import errno
import os
import tempfile

import pytest
from botocore.exceptions import EndpointConnectionError, NoCredentialsError

from pipeline.failures import told


def with_errno(number: int, name: str | None = None) -> OSError:
    return OSError(number, os.strerror(number), name)


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "x/y: No space left on device; free some space"),
        (errno.EACCES, "x/y: Permission denied; see to its permissions"),
        (errno.EROFS, "x/y: Read-only file system; name a place that can be written to"),
        (errno.ENOTDIR, "x/y: Not a directory; a file is where a folder belongs"),
        (errno.EISDIR, "x/y: Is a directory; a folder is where a file belongs"),
        (errno.EMFILE, "x/y: Too many open files; allow more open files"),
    ],
)
def test_the_system_s_errors_name_the_file_and_the_remedy(number: int, said: str) -> None:
    message = told(with_errno(number, "x/y"))
    assert message is not None
    assert message.startswith(said)


def test_a_full_disk_without_a_name_is_the_temporary_folder_s() -> None:
    message = told(with_errno(errno.ENOSPC))
    assert message is not None
    assert message.startswith(f"temporary folder {tempfile.gettempdir()}: No space left on device; ")
    assert "TMPDIR" in message


@pytest.mark.parametrize("error", [NoCredentialsError(), EndpointConnectionError(endpoint_url="http://x")])
def test_an_object_store_s_errors_say_what_to_check(error: Exception) -> None:
    wrapped = PermissionError("Forbidden")
    wrapped.__cause__ = error
    for raised in (error, wrapped):
        message = told(raised)
        assert message == f"object store: {raised}; check AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and " + (
            "AWS_SECRET_ACCESS_KEY, or use a local path"
        )


@pytest.mark.parametrize("error", [ValueError("x"), OSError("something odd"), with_errno(errno.EBADF), KeyError("x")])
def test_faults_of_ours_are_not_dressed_up(error: Exception) -> None:
    assert told(error) is None
