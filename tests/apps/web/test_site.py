"""`vitsd-export web`: the folder it writes, the server, and what it refuses."""

import http.client
import json
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import urllib.request
from pathlib import Path

import pytest

from tests.support.command_line import Artifacts, run_command
from vitsd_export._internal.cache import cache_folder
from vitsd_export.deploy import onnxruntime_web
from vitsd_export.deploy.onnxruntime_web import RUNTIME_FILES


@pytest.fixture(scope="session")
def package(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked npm package, as far as the page needs it."""
    assert site.is_dir()
    folder = tmp_path_factory.mktemp("package")
    archive = cache_folder("npm") / f"onnxruntime-web-{onnxruntime_web.VERSION}.tgz"
    with tarfile.open(archive) as opened:
        wanted = {"package/package.json", *(f"package/dist/{name}" for name in RUNTIME_FILES)}
        members = [member for member in opened if member.name in wanted]
        opened.extractall(folder, members, filter="data")
    return folder / "package"


def use_npm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str | None) -> None:
    """Puts a program in npm's place, or none; with an empty cache."""
    programs = tmp_path / "programs"
    programs.mkdir()
    if script is not None:
        (programs / "npm").write_text(f"#!/bin/sh\n{script}\n")
        (programs / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/bin" if script is not None else str(programs))
    monkeypatch.setenv("VITSD_EXPORT_CACHE", str(tmp_path / "cache"))


def test_the_folder_holds_the_page_and_no_more(site: Path, exported: Artifacts) -> None:
    names = {path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()}
    page = {
        *("index.html", "app.mjs", "classifier.mjs", "pixels.mjs", "style.css", "icon.svg"),
        *("webp-orientation.mjs", "preprocess.mjs", "onnx-metadata.mjs", "manifest.webmanifest"),
    }
    apart = {"service-worker.js", "site.js", "_headers", "model.onnx"}
    assert names == page | apart | {f"runtime/{name}" for name in RUNTIME_FILES}
    assert (site / "model.onnx").read_bytes() == exported.onnx.read_bytes()
    # What some hosts take at most.
    assert max(path.stat().st_size for path in site.rglob("*")) < 25 * 2**20
    script = (site / "site.js").read_text()
    told = json.loads(script.removeprefix("self.SITE = ").rstrip(";\n"))
    assert set(told["page"]) == page - {"index.html"} | {"./"}
    assert set(told["large"]) == names - page - apart | {"model.onnx"}


def test_the_version_follows_the_content(
    site: Path, site_int8: Path, exported: Artifacts, tmp_path: Path
) -> None:
    def version(folder: Path) -> str:
        script = (folder / "site.js").read_text()
        return str(json.loads(script.removeprefix("self.SITE = ").rstrip(";\n"))["version"])

    outcome = run_command("web", exported.onnx, "-o", tmp_path / "again", "--json")
    told = json.loads(outcome.stdout)
    assert told["version"] == version(tmp_path / "again") == version(site)
    assert version(site_int8) != version(site)
    files = [path for path in (tmp_path / "again").rglob("*") if path.is_file()]
    assert told["bytes"] == sum(path.stat().st_size for path in files)
    assert told["model_bytes"] == exported.onnx.stat().st_size


def test_static_hosts_get_the_headers_of_the_server(site: Path, url: str) -> None:
    first, *lines = (site / "_headers").read_text().splitlines()
    assert first == "/*"
    told = dict(line.strip().split(": ", 1) for line in lines)
    assert told["Cross-Origin-Opener-Policy"] == "same-origin"
    assert told["Cross-Origin-Embedder-Policy"] == "require-corp"
    with urllib.request.urlopen(url) as answer:
        assert {name: answer.headers[name] for name in told} == told


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("", "text/html; charset=utf-8"),
        ("app.mjs", "text/javascript"),
        ("service-worker.js", "text/javascript"),
        ("runtime/ort-wasm-simd-threaded.wasm", "application/wasm"),
        ("manifest.webmanifest", "application/manifest+json"),
        ("model.onnx", "application/octet-stream"),
    ],
)
def test_the_server_names_types(url: str, name: str, kind: str) -> None:
    with urllib.request.urlopen(url + name) as answer:
        assert answer.headers["Content-Type"] == kind


@pytest.mark.parametrize(
    "path", ["/runtime/", "/../model.onnx.json", "/%2e%2e/%2e%2e/etc/passwd", "/no"]
)
def test_the_server_gives_nothing_else(url: str, path: str) -> None:
    connection = http.client.HTTPConnection(url.removeprefix("http://").rstrip("/"))
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
    finally:
        connection.close()
    assert answer.status == 404


def test_serve_ends_with_ctrl_c(exported: Artifacts, package: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "vitsd_export", "web", str(exported.onnx), "--serve"]
    options = ["-o", str(tmp_path / "site"), "--port", "0", "--runtime", str(package)]
    process = subprocess.Popen(
        [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        written, serving = process.stdout.readline(), process.stdout.readline()
        assert "MB" in written
        url = serving.split()[1]
        assert url.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(url) as answer:
            assert b"<title>" in answer.read()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, errors) == (0, "")


def test_a_port_in_use(exported: Artifacts, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        target = tmp_path / "site"
        outcome = run_command("web", exported.onnx, "-o", target, "--serve", "--port", port)
    assert outcome.exit_code == 5
    assert f"Port {port} cannot be used: another program has it." in outcome.error
    assert not target.exists()


def test_an_existing_folder(exported: Artifacts, site: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    target.mkdir()
    assert run_command("web", exported.onnx, "-o", target).exit_code == 0
    outcome = run_command("web", exported.onnx_int8, "-o", target)
    assert outcome.exit_code == 2
    assert "--force" in outcome.error
    assert (target / "model.onnx").read_bytes() == exported.onnx.read_bytes()
    assert run_command("web", exported.onnx_int8, "-o", target, "--force").exit_code == 0
    assert (target / "model.onnx").read_bytes() == exported.onnx_int8.read_bytes()
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_a_folder_of_something_else_stays(
    exported: Artifacts, tmp_path: Path, force: list[str]
) -> None:
    (tmp_path / "photo.jpg").write_text("mine")
    outcome = run_command("web", exported.onnx, "-o", tmp_path, *force)
    assert outcome.exit_code == 2
    assert "holds something that is not a site of this command" in outcome.error
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]


def test_a_file_in_the_folders_place(exported: Artifacts, tmp_path: Path) -> None:
    (tmp_path / "site").write_text("a file")
    outcome = run_command("web", exported.onnx, "-o", tmp_path / "site")
    assert outcome.exit_code == 2
    assert "is a file" in outcome.error


@pytest.mark.parametrize(
    ("kind", "name"), [("tflite", "a LiteRT file"), ("saved_model", "a SavedModel")]
)
def test_artifacts_of_other_runtimes(
    exported: Artifacts, tmp_path: Path, kind: str, name: str
) -> None:
    outcome = run_command("web", getattr(exported, kind), "-o", tmp_path / "site")
    assert outcome.exit_code == 3
    assert f"is {name}; onnxruntime-web runs ONNX" in outcome.error
    assert list(tmp_path.iterdir()) == []


def test_an_onnx_file_without_a_manifest(exported: Artifacts, tmp_path: Path) -> None:
    import onnx

    loaded = onnx.load(exported.onnx)
    del loaded.metadata_props[:]
    onnx.save(loaded, tmp_path / "bare.onnx")
    outcome = run_command("web", tmp_path / "bare.onnx", "-o", tmp_path / "site")
    assert outcome.exit_code == 3
    assert "carries no manifest" in outcome.error


def test_a_cut_file(exported: Artifacts, tmp_path: Path) -> None:
    content = exported.onnx.read_bytes()
    (tmp_path / "cut.onnx").write_bytes(content[: len(content) // 2])
    outcome = run_command("web", tmp_path / "cut.onnx", "-o", tmp_path / "site")
    assert outcome.exit_code == 3
    assert not (tmp_path / "site").exists()


def test_a_package_of_ones_own(exported: Artifacts, package: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    outcome = run_command("web", exported.onnx, "-o", target, "--runtime", package)
    assert outcome.exit_code == 0, outcome.stderr
    assert onnxruntime_web.VERSION in outcome.stdout
    for name in RUNTIME_FILES:
        assert (target / "runtime" / name).read_bytes() == (package / "dist" / name).read_bytes()


def test_packages_that_are_not_it(exported: Artifacts, package: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(package, other)
    (other / "dist" / RUNTIME_FILES[-1]).unlink()
    reasons = {str(other): f"has no dist/{RUNTIME_FILES[-1]}", str(tmp_path): "no readable"}
    named = tmp_path / "named"
    named.mkdir()
    (named / "package.json").write_text('{"name": "left-pad", "version": "1.0.0"}')
    reasons[str(named)] = "is the npm package left-pad"
    for folder, reason in reasons.items():
        outcome = run_command("web", exported.onnx, "-o", tmp_path / "site", "--runtime", folder)
        assert outcome.exit_code == 3
        assert reason in outcome.error
        assert not (tmp_path / "site").exists()


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (None, "npm is not installed. Install Node.js"),
        ("echo 'npm error network unreachable' >&2; exit 1", "network unreachable"),
        ("exit 0", "could not download"),
        ("echo garbage > onnxruntime-web-1.30.0.tgz", "its SHA-512 is another"),
    ],
    ids=["no npm", "no network", "nothing", "another file"],
)
def test_a_package_that_cannot_be_had(
    exported: Artifacts,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str | None,
    reason: str,
) -> None:
    use_npm(monkeypatch, tmp_path, script)
    outcome = run_command("web", exported.onnx, "-o", tmp_path / "site")
    assert outcome.exit_code == 5
    assert reason in outcome.error
    assert "--runtime" in outcome.error
    assert not (tmp_path / "site").exists()


def test_a_damaged_cache_is_fetched_again(
    exported: Artifacts, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"onnxruntime-web-{onnxruntime_web.VERSION}.tgz"
    whole = cache_folder("npm") / name
    content = whole.read_bytes()
    use_npm(monkeypatch, tmp_path, f"cp '{whole}' {name}")
    damaged = tmp_path / "cache" / "npm" / name
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    outcome = run_command("web", exported.onnx, "-o", tmp_path / "site")
    assert outcome.exit_code == 0, outcome.stderr
    assert damaged.read_bytes() == content
