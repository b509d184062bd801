"""`inspect`."""

from collections.abc import Iterator
from typing import Annotated, Any

import typer

from vitsd_export.cli.options import Artifact
from vitsd_export.cli.output import megabytes, print_json
from vitsd_export.cli.state import State


def inspect(
    artifact: Artifact,
    nodes: Annotated[
        bool, typer.Option("--nodes", help="Also list the operators of an ONNX or LiteRT file.")
    ] = False,
) -> None:
    """Shows the tensors, operators, labels, scheme and provenance of an artifact."""
    from vitsd_export.artifact.inspection import inspect_artifact

    info = inspect_artifact(artifact)
    if State.json:
        print_json(info.to_dict())
        return
    _print_info(info)
    if nodes:
        width = max((len(node.op) for node in info.graph.nodes), default=0)
        for node in info.graph.nodes:
            print(f"{node.op:{width}}  {node.name}  ←  {', '.join(node.inputs)}")


def _print_info(info: Any) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE, show_header=False, pad_edge=False)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in _info_rows(info):
        table.add_row(name, Text(value))
    console = Console(highlight=False)
    console.print(Text(str(info.path), style="bold"), soft_wrap=True)
    console.print(table)


def _info_rows(info: Any) -> Iterator[tuple[str, str]]:
    yield "format", ", ".join([info.format, *(f"{k} {v}" for k, v in info.graph.versions.items())])
    yield "scheme", info.scheme or "unknown (no manifest inside)"
    yield "size", megabytes(info.bytes)
    for name, tensors in (("input", info.graph.inputs), ("output", info.graph.outputs)):
        for tensor in tensors:
            yield name, str(tensor)
    for dtype, group in info.graph.weights.items():
        yield (
            "weights",
            f"{dtype}: {group.elements:,} in {group.tensors} tensors, {megabytes(group.bytes)}",
        )
    for numbers, group in info.arithmetic.items():
        adds = "an unknown number of" if group.multiply_adds is None else f"{group.multiply_adds:,}"
        yield (
            "products",
            f"{numbers}: {group.operators}, {adds} multiply-adds an image, "
            f"{megabytes(group.bytes)} of weights",
        )
    total = sum(info.graph.ops.values())
    yield "operators", f"{total}: " + ", ".join(f"{k} {v}" for k, v in info.graph.ops.items())
    if info.graph.custom_ops:
        yield "not built in", ", ".join(info.graph.custom_ops)
    if info.manifest is None:
        return
    manifest = info.manifest
    shown = ", ".join(manifest.labels[:10])
    more = len(manifest.labels) - 10
    yield "labels", f"{len(manifest.labels)}: {shown}" + (f", … {more} more" if more > 0 else "")
    source = manifest.source
    origin = source.get("origin", source["name"])
    commit = f", commit {source['revision'][:12]}" if "revision" in source else ""
    yield "made from", f"{origin} (SHA-256 {source['sha256'][:16]}…{commit})"
    if manifest.calibration:
        used = manifest.calibration
        yield (
            "calibrated",
            f"{used['calibrated_layers']} of {used['weighted_layers']} layers on {used['count']} images "
            f"of {used['source']}, seed {used['seed']}",
        )
    if manifest.verification:
        checks = (
            f"{check['name']} {check['value']:.4g}" for check in manifest.verification["checks"]
        )
        yield "verified", f"{manifest.verification['images']} images: " + ", ".join(checks)
    else:
        yield "verified", "no"
    yield "made with", ", ".join(f"{k} {v}" for k, v in manifest.tools.items())
    yield "created", manifest.created
