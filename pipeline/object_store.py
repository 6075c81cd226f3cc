"""S3 with patience: what the network or a busy store breaks is tried again, with growing pauses, until it succeeds.

s3fs and botocore give up within seconds, and each in its own way. Here every request goes through one loop: broken
connections, answers that are cut off, 5xx and "slow down" are waited out, and told of while that lasts. A store that
has never answered is given up soon, as its address is probably wrong; one that has is waited for ten minutes, or as
long as :data:`PATIENCE` says.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import logging
import os
import random
import threading
import time
from typing import Any

from pipeline.errors import UserError

logger = logging.getLogger(__name__)
PATIENCE = "SPOTDIFF_STORE_PATIENCE"
"""Environment variable: seconds that one request may take, all its tries together."""
_PATIENCE_SECONDS = 600.0
_FIRST_PATIENCE = 8.0
"""The same for a store that has not answered this process yet."""
_LONGEST_PAUSE = 20.0
_SAY_SECONDS = 10.0
"""A request that has waited so long is told of; then again after as many seconds, for all requests together."""
_PASSING = {408, 429, 500, 502, 503, 504}
_OPTIONS: dict[str, Any] = {
    "use_listings_cache": False,  # s3fs's lasts as long as the process: files of other workers would stay unseen
    "config_kwargs": {"connect_timeout": 5, "read_timeout": 60, "retries": {"max_attempts": 0}},  # the loop is here
}


class StoreUnavailable(OSError):
    """An object store that used to answer did not for long."""


def s3() -> Any:
    """The filesystem of the store that the environment names; the same one as long as that does not change."""
    address = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None
    return _patient_class()(endpoint_url=address, **_OPTIONS)


@functools.cache
def _patient_class() -> type[Any]:
    """Made when it is first wanted: s3fs takes its time to import, and is an extra."""
    from fsspec.asyn import sync_wrapper
    from s3fs import S3FileSystem

    class PatientS3(S3FileSystem):
        retries = 1

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.waiting = _Waiting(_patience())

        async def _call_s3(self, method: str, *more: Any, **kwargs: Any) -> Any:
            once = super()._call_s3
            began, tries = time.monotonic(), 0
            while True:
                tries += 1
                try:
                    answer = await once(method, *more, **kwargs)
                    if method == "get_object":  # a body that breaks off is asked for again, too
                        answer = {**answer, "Body": _Body(await answer["Body"].read())}
                except Exception as error:
                    if done := await _done_before(self, method, kwargs, error):
                        answer = done
                    elif not _passing(error, kwargs):
                        raise
                    else:
                        await self.waiting.pause(error, method, kwargs, tries, time.monotonic() - began)
                        continue
                self.waiting.answered(tries)
                return answer

        call_s3 = sync_wrapper(_call_s3)

    return PatientS3


class _Body:
    """What has been read of an answer, behind the methods of a stream."""

    def __init__(self, data: bytes) -> None:
        self._rest = memoryview(data)

    async def read(self, length: int = -1) -> bytes:
        end = len(self._rest) if length < 0 else length
        taken, self._rest = self._rest[:end], self._rest[end:]
        return bytes(taken)

    def close(self) -> None: ...


class _Waiting:
    """The pauses of all requests to one store, and what is said of them."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._lock = threading.Lock()
        self._ever = False
        self._told = 0.0
        self._silent = True

    def answered(self, tries: int) -> None:
        with self._lock:
            self._ever = True
            if tries > 1 and not self._silent:
                self._silent = True
                logger.warning("object store: it answers again")

    async def pause(self, error: Exception, method: str, kwargs: dict[str, Any], tries: int, waited: float) -> None:
        """Waits before the next try.

        Raises:
            Exception: ``error`` or, from a store that used to answer, :class:`StoreUnavailable`: time is up.
        """
        where = f"s3://{kwargs.get('Bucket', '')}/{kwargs.get('Key', kwargs.get('Prefix', ''))}"
        if not self._ever and waited > min(_FIRST_PATIENCE, self._patience):
            raise error
        if waited > self._patience:
            raise StoreUnavailable(
                f"{where}: {method} did not succeed within {waited:.0f} s ({tries} tries): {_said(error)}"
            ) from error
        with self._lock:
            now = time.monotonic()
            if self._ever and waited > _SAY_SECONDS and now - self._told > _SAY_SECONDS:
                self._told, self._silent = now, False
                logger.warning(
                    "object store: waiting for %s since %.0f s (%s; gives up after %.0f s)",
                    where, waited, _said(error), self._patience,
                )  # fmt: skip
        await asyncio.sleep(min(_LONGEST_PAUSE, 0.1 * 1.7 ** min(tries, 20)) * random.uniform(0.5, 1.0))


def _patience() -> float:
    told = os.environ.get(PATIENCE) or _PATIENCE_SECONDS
    try:
        return float(told)
    except ValueError as error:
        raise UserError(f"{PATIENCE}={told}: not a number of seconds") from error


def _conditional(kwargs: dict[str, Any]) -> bool:
    return "IfMatch" in kwargs or "IfNoneMatch" in kwargs


def _passing(error: Exception, kwargs: dict[str, Any]) -> bool:
    """Whether another try may succeed."""
    status = _status(error)
    if status is None:
        return isinstance(error, _broken())
    # 409: somebody else writes the same object at this moment; who comes second is told so by 412
    return status in _PASSING or (status == 409 and _conditional(kwargs))


@functools.cache
def _broken() -> tuple[type[BaseException], ...]:
    """What a broken connection or a mangled answer is raised as."""
    import aiohttp
    from botocore import exceptions as boto
    from botocore.parsers import ResponseParserError

    return (
        aiohttp.ClientError,
        asyncio.TimeoutError,
        TimeoutError,
        ConnectionError,
        boto.ConnectionError,
        boto.HTTPClientError,
        boto.IncompleteReadError,
        ResponseParserError,
    )


def _response(error: BaseException | None) -> dict[str, Any] | None:
    """Botocore's answer behind an error, which s3fs has translated."""
    for one in (error, getattr(error, "__cause__", None)):
        response = getattr(one, "response", None)
        if isinstance(response, dict):
            return response
    return None


def _status(error: BaseException) -> int | None:
    """The HTTP status of an answer that was an error; None: there was no answer."""
    response = _response(error)
    if response is None:
        return None
    status: int | None = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status


def _said(error: Exception) -> str:
    response = _response(error) or {}
    code = response.get("Error", {}).get("Code")
    return " ".join(f"{type(error.__cause__ or error).__name__}: {code or error}".split())[:200]


async def _done_before(fs: Any, method: str, kwargs: dict[str, Any], error: Exception) -> dict[str, Any] | None:
    """The answer to a request whose earlier try was done, though its answer was lost; None: it was not.

    A condition ("only if there is none yet") no longer holds then, for our own object is there; and an upload that was
    completed is not there any more. (Not only from the second try of ours on: aiohttp repeats a request by itself.)
    """
    place = {"Bucket": kwargs.get("Bucket"), "Key": kwargs.get("Key")}
    try:
        if method == "put_object" and _conditional(kwargs) and _status(error) == 412:
            there: dict[str, Any] = await fs._call_s3("get_object", **place)
            return there if await there["Body"].read() == kwargs["Body"] else None
        if method == "complete_multipart_upload" and _status(error) == 404:
            head: dict[str, Any] = await fs._call_s3("head_object", **place)
            return head if head.get("ETag", "").strip('"') == _tag_of(kwargs["MultipartUpload"]["Parts"]) else None
    except FileNotFoundError:
        pass
    return None


def _tag_of(parts: list[dict[str, Any]]) -> str:
    """What the object made of these parts is tagged with."""
    digests = b"".join(bytes.fromhex(part["ETag"].strip('"')) for part in parts)
    return f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"
