"""`web`."""

import contextlib
import dataclasses
import sys
from pathlib import Path
from typing import Annotated

import typer

from vitsd_export.cli.output import megabytes, print_json
from vitsd_export.cli.state import State


def web(
    artifact: Annotated[Path, typer.Argument(help="ONNX file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Output folder.")] = Path("site"),
    serve: Annotated[
        bool, typer.Option("--serve", help="Serve the folder on this machine until Ctrl-C.")
    ] = False,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port for --serve; 0 picks a free one.")
    ] = 8000,
    runtime: Annotated[
        Path | None,
        typer.Option(
            help="Unpacked npm package onnxruntime-web. Default: npm downloads it once.",
            metavar="DIR",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing site.")] = False,
) -> None:
    """Writes a web page that classifies images in the browser with an ONNX file."""
    from vitsd_export.deploy.web_server import SiteServer
    from vitsd_export.deploy.web_site import write_site

    with contextlib.ExitStack() as stack:
        # First, so that a port in use is reported before anything is written.
        server = stack.enter_context(SiteServer(output, port)) if serve else None
        site = write_site(artifact, output, runtime=runtime, force=force)
        if State.json:
            url = {"url": server.url} if server is not None else {}
            print_json({**dataclasses.asdict(site), **url})
        else:
            print(
                f"{site.folder}: {megabytes(site.bytes)}, of which the model "
                f"{megabytes(site.model_bytes)}; onnxruntime-web {site.runtime}"
            )
            if server is not None:
                print(f"Serving {server.url} to this machine; Ctrl-C ends it.")
        if server is not None:
            sys.stdout.flush()
            with contextlib.suppress(KeyboardInterrupt):
                server.serve_forever()
