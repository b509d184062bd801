"""A small server that speaks as much of the Hugging Face hub's protocol as a download needs."""

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = "somebody/model"


class Hub(ThreadingHTTPServer):
    """Serves the files of one folder as a repository at one commit.

    Attributes:
        folder: What is served.
        fetched: Files that were sent, in order.
        revisions: Revisions that were asked for.
        broken: Whether it hangs up in the midst of a file.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.fetched: list[str] = []
        self.revisions: list[str] = []
        self.broken = False

    @property
    def address(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.server_port}"

    def files(self) -> dict[str, bytes]:
        """Contents by path in the repository."""
        return {
            path.relative_to(self.folder).as_posix(): path.read_bytes()
            for path in sorted(self.folder.rglob("*"))
            if path.is_file()
        }


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, *_: Any) -> None:
        """Keeps quiet."""

    def _answer(self, *, body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        api, plain = f"/api/models/{REPOSITORY}", f"/{REPOSITORY}/resolve/{COMMIT}/"
        if path == api or path.startswith(f"{api}/revision/"):
            revision = path.removeprefix(f"{api}/revision/") if path != api else "main"
            self.server.revisions.append(revision)
            if revision not in ("main", "v1", COMMIT):
                self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
                return
            self._json({"_id": "1", "id": REPOSITORY, "sha": COMMIT, "siblings": []})
        elif path.startswith(f"{api}/tree/"):
            files = self.server.files()
            self._json(
                [
                    {"type": "file", "path": name, "size": len(data), "oid": _oid(data)}
                    for name, data in files.items()
                ]
            )
        elif path.startswith(plain) and path.removeprefix(plain) in self.server.files():
            name = path.removeprefix(plain)
            data = self.server.files()[name]
            if body:
                self.server.fetched.append(name)
            headers = {"ETag": f'"{_oid(data)}"', "X-Repo-Commit": COMMIT}
            self._send(200, data, headers, body=body)
        else:
            self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    def _json(self, document: Any) -> None:
        self._send(200, json.dumps(document).encode(), {"Content-Type": "application/json"})

    def _send(self, code: int, data: bytes, headers: dict[str, str], *, body: bool = True) -> None:
        self.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            cut = len(data) // 2 if self.server.broken and len(data) > 5000 else len(data)
            self.wfile.write(data[:cut])


def _oid(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


@contextlib.contextmanager
def serve(folder: Path) -> Iterator[Hub]:
    """Serves a folder while the block runs."""
    with Hub(folder) as hub:
        thread = threading.Thread(target=hub.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()
