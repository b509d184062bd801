"""Serves a site to this machine alone, with the headers that give a page threads."""

import errno
import http.server
import sys
from pathlib import Path
from typing import Any

from vitsd_export.deploy.web_site import HEADERS
from vitsd_export.errors import EnvironmentProblem

# The system's table of types may lack these, or say otherwise.
CONTENT_TYPES = {
    **http.server.SimpleHTTPRequestHandler.extensions_map,
    ".css": "text/css",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".onnx": "application/octet-stream",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
}

_LOOPBACK = "127.0.0.1"


class SiteServer(http.server.ThreadingHTTPServer):
    """A server of one folder on loopback.

    Args:
        folder: What it serves.
        port: 0 for any that is free.

    Raises:
        EnvironmentProblem: If the port cannot be had.
    """

    def __init__(self, folder: Path, port: int) -> None:
        def handler(*arguments: Any) -> _Handler:
            return _Handler(*arguments, directory=str(folder))

        try:
            super().__init__((_LOOPBACK, port), handler)
        except OSError as error:
            reason = (
                "another program has it"
                if error.errno == errno.EADDRINUSE
                else (error.strerror or str(error))
            )
            raise EnvironmentProblem(
                f"Port {port} cannot be used: {reason}. Choose another with --port, or --port 0 for "
                "any that is free."
            ) from error

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keeps silent about browsers that hang up, as they do when a page is left."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{_LOOPBACK}:{self.server_port}/"


class _Handler(http.server.SimpleHTTPRequestHandler):
    # Connections are kept; every answer carries its length.
    protocol_version = "HTTP/1.1"
    extensions_map = CONTENT_TYPES

    def end_headers(self) -> None:
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def list_directory(self, path: object) -> None:
        self.send_error(http.HTTPStatus.NOT_FOUND)

    def log_message(self, format: str, *arguments: object) -> None:
        pass
