"""Servers for the page, in a thread of the test."""

import contextlib
import functools
import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from vitsd_export.deploy.web_server import CONTENT_TYPES, SiteServer

Serve = Callable[..., contextlib.AbstractContextManager[str]]


@contextlib.contextmanager
def serve_folder(folder: Path, port: int = 0, *, plain: bool = False) -> Iterator[str]:
    """Serves a folder: with `--serve`'s own server, or with a plain one that knows no headers."""
    server: http.server.HTTPServer
    if plain:
        handler = functools.partial(_PlainHandler, directory=str(folder))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    else:
        server = SiteServer(folder, port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _PlainHandler(http.server.SimpleHTTPRequestHandler):
    extensions_map = CONTENT_TYPES

    def log_message(self, format: str, *arguments: object) -> None:
        pass
