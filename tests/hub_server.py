"""A local HTTP server that stands in for the model hub: repos at one commit, with ranges, cuts and wrong content."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LARGE = 10_000
"""From this size on a file counts as one of Git LFS: the hub tells its sha256."""


@dataclass
class Hub:
    """What the server has and has seen.

    Attributes:
        repos: By ``owner/name``, files by path.
        commits: By repo.
        cut: Bytes after which the connection is broken off, by path; each entry serves once.
        ranges: The ``Range`` headers of downloads, with their paths.
    """

    repos: dict[str, dict[str, bytes]]
    commits: dict[str, str]
    cut: dict[str, int] = field(default_factory=dict)
    ranges: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """Serves on a free port as long as it lasts."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do_HEAD(self) -> None:
            self._answer(head=True)

        def do_GET(self) -> None:
            self._answer(head=False)

        def _answer(self, head: bool) -> None:
            path = self.path.partition("?")[0]
            if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", path):
                self._info(found[1], found[2])
            elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
                self._file(found[1], found[3], head)
            else:
                self._send(404, b"{}")

        def _info(self, repo: str, revision: str | None) -> None:
            if repo not in hub.repos or revision not in (None, "main", hub.commits[repo]):
                self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
                return
            siblings = []
            for path, content in hub.repos[repo].items():
                one: dict[str, Any] = {"rfilename": path, "size": len(content)}
                if len(content) >= LARGE:
                    one["lfs"] = {"size": len(content), "sha256": _sha256(content), "pointerSize": 130}
                siblings.append(one)
            data = {"id": repo, "modelId": repo, "sha": hub.commits[repo], "siblings": siblings}
            self._send(200, json.dumps(data).encode(), {"Content-Type": "application/json"})

        def _file(self, repo: str, path: str, head: bool) -> None:
            content = hub.repos.get(repo, {}).get(path)
            if content is None:
                self._send(404, b"{}", {"X-Error-Code": "EntryNotFound"})
                return
            headers = {"X-Repo-Commit": hub.commits[repo], "ETag": f'"{_sha256(content)}"', "Accept-Ranges": "bytes"}
            if head:
                self.send_response(200)
                for name, value in {**headers, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                return
            start = 0
            if given := self.headers.get("Range"):
                hub.ranges.append((path, given))
                start = int(re.match(r"bytes=(\d+)-", given)[1])  # type: ignore[index]
                headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self._send(206 if given else 200, content[start:], headers, hub.cut.pop(path, None))

        def _send(
            self, status: int, body: bytes, headers: dict[str, str] | None = None, cut: int | None = None
        ) -> None:
            self.send_response(status)
            for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body[:cut])
            if cut is not None:
                self.close_connection = True
                self.connection.close()

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hub.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
