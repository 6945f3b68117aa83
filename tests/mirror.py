"""A real HTTP server on this machine, with the faults that a test asks for."""

from __future__ import annotations

import http.server
import socket
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Self


class Mirror:
    """Serves ``files``: path below the root → content.

    ``cut``: bytes of each response that are sent before the connection closes; ``ranges``: whether
    Range requests are supported; ``delay``: seconds before each response; ``pause``: seconds after
    each 4 KiB; ``sends_length``: whether responses have a Content-Length.
    """

    def __init__(
        self,
        files: dict[str, bytes],
        cut: int | None = None,
        ranges: bool = True,
        delay: float = 0.0,
        pause: float = 0.0,
        sends_length: bool = True,
    ) -> None:
        self.files, self.cut, self.ranges, self.delay, self.pause = files, cut, ranges, delay, pause
        self.sends_length = sends_length
        self.requests: list[tuple[str, str | None]] = []
        """path and Range header of each request"""
        mirror = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with suppress(OSError):  # the client has closed the connection
                    mirror.answer(self)

            def log_message(self, format: str, *arguments: object) -> None:
                """Print nothing."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/"

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        span = handler.headers.get("Range")
        self.requests.append((handler.path.removeprefix("/"), span))
        time.sleep(self.delay)
        content = self.files.get(handler.path.removeprefix("/"))
        if content is None:
            handler.send_error(404)
            return
        start = int(span.removeprefix("bytes=").rstrip("-")) if span and self.ranges else 0
        if start and start >= len(content):
            handler.send_error(416)
            return
        rest = content[start:]
        handler.send_response(206 if start else 200)
        if self.sends_length:
            handler.send_header("Content-Length", str(len(rest)))
        handler.end_headers()
        sent = rest[: self.cut]
        for part in range(0, len(sent), 4096):
            handler.wfile.write(sent[part : part + 4096])
            time.sleep(self.pause)

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.server.shutdown()
        self.server.server_close()


def closed_address() -> str:
    """An address of this machine at which no server listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}/"
