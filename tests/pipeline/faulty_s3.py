"""A proxy before an S3 server that breaks connections and answers 503, as networks and busy stores do."""

from __future__ import annotations

import http.client
import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class FaultyProxy(ThreadingHTTPServer):
    """Passes requests on to ``target``.

    Attributes:
        drops: Share of the requests whose connection is broken: half of them before the store hears of it, a quarter
            when it has done what was asked and its answer is lost, a quarter in the midst of the answer.
        refusals: Share that is answered 503.
        counts: What was done, by kind.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, target: str, seed: int = 0) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = urlsplit(target)
        self.drops = self.refusals = 0.0
        self.counts: Counter[str] = Counter()
        self._random, self._lock = random.Random(seed), threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def fate(self) -> str:
        with self._lock:
            drawn, kind = self._random.random(), self._random.choice(["lost", "lost", "unanswered", "cut"])
            fate = kind if drawn < self.drops else "busy" if drawn < self.drops + self.refusals else "served"
            self.counts[fate] += 1
        return fate

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no news here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyProxy

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fate = self.server.fate()
        if fate == "lost":
            self.close_connection = True
            return
        if fate == "busy":
            said = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
            self.send_response(503)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said if self.command != "HEAD" else b"")
            return
        there = http.client.HTTPConnection(self.server.target.hostname or "", self.server.target.port, timeout=60)
        there.request(self.command, self.path, body or None, dict(self.headers))
        answer = there.getresponse()
        data = answer.read()
        there.close()
        if fate == "unanswered":
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "content-length", "connection", "date", "server"):
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else None
        self.send_header("Content-Length", length or str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[: len(data) // 2] if fate == "cut" else data)
        self.close_connection = self.close_connection or fate == "cut"

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve

    def log_message(self, format: str, *args: object) -> None: ...


@contextmanager
def faulty_proxy(target: str) -> Iterator[FaultyProxy]:
    """A proxy that runs as long as the block; without faults at first."""
    proxy = FaultyProxy(target)
    thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        proxy.server_close()
