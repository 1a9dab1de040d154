"""A Hugging Face Hub on the loopback interface that breaks connections on demand."""

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class FakeHub:
    """``files``: contents by path, as in ``datasets/owner/name/resolve/main/file``. ``break_after``: each answer ends
    after so many bytes, though it promised more. ``requests``: method, path and first byte asked for, in order.
    """

    files: dict[str, bytes]
    break_after: int | None = None
    checksums: dict[str, str] = field(default_factory=dict)
    corrupt: bool = False
    whole_only: bool = False
    seconds_a_block: float = 0.0
    requests: list[tuple[str, str, int]] = field(default_factory=list)
    endpoint: str = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        path = handler.path.lstrip("/")
        asked = handler.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0]
        start = 0 if self.whole_only else int(asked)
        self.requests.append((handler.command, path, start))
        if path not in self.files:
            handler.send_response(404)
            handler.send_header("X-Error-Code", "EntryNotFound")
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        contents = self.files[path]
        body = contents[start:]
        handler.send_response(206 if "Range" in handler.headers and not self.whole_only else 200)
        handler.send_header("X-Repo-Commit", COMMIT)
        etag = self.checksums.get(path, hashlib.sha256(contents).hexdigest())
        handler.send_header("ETag", f'"{etag}"')
        handler.send_header("Content-Length", str(len(body)))
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(contents) - 1}/{len(contents)}")
        handler.end_headers()
        if handler.command == "GET":
            if self.corrupt:
                body = bytes(byte ^ 1 for byte in body)
            sent = body if self.break_after is None else body[: self.break_after]
            for place in range(0, len(sent), 1 << 14):
                handler.wfile.write(sent[place : place + (1 << 14)])
                time.sleep(self.seconds_a_block)


@contextmanager
def running(hub: FakeHub) -> Iterator[FakeHub]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                hub.answer(self)
            except ConnectionError:
                self.close_connection = True

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
