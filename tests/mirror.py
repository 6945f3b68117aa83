"""A real HTTP server on this machine that behaves as well or badly as a test wants."""

from __future__ import annotations

import http.server
import socket
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Self


class Mirror:
    """Serves ``files`` (address below the root → content); the ``bad`` ones in their own way.

    ``cut``: how many bytes of each answer are sent before the line is closed; ``ranges``: whether
    it can go on from the middle; ``silent``: seconds before it answers; ``told_length``: whether
    it says how much will come.
    """

    def __init__(
        self,
        files: dict[str, bytes],
        cut: int | None = None,
        ranges: bool = True,
        silent: float = 0.0,
        slow: float = 0.0,
        told_length: bool = True,
    ) -> None:
        self.files, self.cut, self.ranges, self.silent, self.slow = files, cut, ranges, silent, slow
        self.told_length = told_length
        self.asked: list[tuple[str, str | None]] = []
        """addresses and the Range header of each request"""
        mirror = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with suppress(OSError):  # whoever asked has gone
                    mirror.answer(self)

            def log_message(self, format: str, *arguments: object) -> None:
                """Nothing is printed."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/"

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        span = handler.headers.get("Range")
        self.asked.append((handler.path.removeprefix("/"), span))
        time.sleep(self.silent)
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
        if self.told_length:
            handler.send_header("Content-Length", str(len(rest)))
        handler.end_headers()
        sent = rest[: self.cut]
        for part in range(0, len(sent), 4096):
            handler.wfile.write(sent[part : part + 4096])
            time.sleep(self.slow)

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
    """Of this machine, where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}/"
