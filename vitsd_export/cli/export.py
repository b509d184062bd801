"""`onnx`, `tflite`, `saved-model` and `all`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitsd_export.cli.options import (
    Batch,
    Calibration,
    Content,
    Cpu,
    Layers,
    Loading,
    Model,
    Named,
    Output,
    choose_scheme,
    output_path,
    parse_batch,
    parse_head_rank,
)
from vitsd_export.cli.output import (
    megabytes,
    name_images,
    print_json,
    print_verification,
    show_progress,
)
from vitsd_export.cli.state import State
from vitsd_export.pretrained import DEFAULT_MODEL

if TYPE_CHECKING:
    from vitsd_export.workflows.targets import Target


def onnx(
    *,
    model: Model = DEFAULT_MODEL,
    loading: Loading,
    artifact: Named,
    cpu: Cpu = "avx2",
    opset: Annotated[
        int | None,
        typer.Option(
            help="ONNX opset, 13 to 26. Default: 21, or 17 for a model that is not lowered."
        ),
    ] = None,
    batch: Batch = "dynamic",
    layers: Layers,
    calibration: Calibration,
    content: Content,
) -> None:
    """Exports to ONNX: one self-contained file for ONNX Runtime on every platform."""
    options = {"batch": parse_batch(batch), "opset": opset, "cpu": cpu}
    target = _target("onnx", model, artifact, layers, options)
    _run([target], model, loading, content, calibration)


def tflite(
    *,
    model: Model = DEFAULT_MODEL,
    loading: Loading,
    artifact: Named,
    batch: Annotated[int, typer.Option(min=1, help="Images per call.")] = 1,
    layers: Layers,
    calibration: Calibration,
    content: Content,
) -> None:
    """Exports to LiteRT (.tflite) for Android, iOS, Raspberry Pi and microcontrollers."""
    target = _target("tflite", model, artifact, layers, {"batch": batch})
    _run([target], model, loading, content, calibration)


def saved_model(
    *,
    model: Model = DEFAULT_MODEL,
    loading: Loading,
    output: Output = None,
    batch: Batch = "dynamic",
    content: Content,
) -> None:
    """Exports to a SavedModel folder for TensorFlow Serving and tf.saved_model.load."""
    from vitsd_export.workflows.targets import Target, default_name

    path = output_path(output, default_name(model, "saved_model"))
    target = Target("saved_model", path, batch=parse_batch(batch))
    _run([target], model, loading, content, Calibration())


def export_all(
    *,
    model: Model = DEFAULT_MODEL,
    loading: Loading,
    output_dir: Annotated[
        Path,
        typer.Option(
            "--output-dir", "-o", help="Folder for the artifacts; created if it is missing."
        ),
    ] = Path("out"),
    calibration: Calibration,
    content: Content,
) -> None:
    """Exports to every format: SavedModel, and LiteRT and ONNX in float32 and int8."""
    from vitsd_export.workflows.targets import main_targets, make_folder

    make_folder(output_dir)
    _run(main_targets(model, output_dir), model, loading, content, calibration)


def _target(
    form: str, model: str, artifact: Named, layers: Layers, options: dict[str, Any]
) -> "Target":
    from vitsd_export.workflows.targets import Target, default_name

    scheme = choose_scheme(artifact.scheme, artifact.quantize)
    return Target(
        form,
        output_path(artifact.output, default_name(model, form, scheme)),
        scheme,
        keep_float=tuple(layers.keep_float or ()),
        head_rank=parse_head_rank(layers.head_rank),
        **options,
    )


def _run(
    targets: "list[Target]",
    model: str,
    loading: Loading,
    content: Content,
    calibration: Calibration,
) -> None:
    """Exports the targets and prints the results; a target that fails its gate does not stop the others."""
    from vitsd_export.workflows.export import Export, VerificationFailed
    from vitsd_export.workflows.targets import check

    source = calibration.source()
    for target in targets:
        check(target)
    results: list[Any] = []
    failures: list[VerificationFailed] = []
    with show_progress() as progress:
        export = Export(
            model,
            **loading.options,
            labels=content.labels,
            output=content.answer,
            input_type=content.input,
            verify=content.verify,
            lowering=content.lowering,
            without_rewrites=content.no_rewrite or (),
            progress=progress,
        )
        for target in targets:
            try:
                results.append(export.run(target, source))
            except VerificationFailed as missed:
                failures.append(missed)
    if failures and len(targets) == 1:
        raise failures[0]
    if State.json:
        document: dict[str, Any] = {"artifacts": [result.to_dict() for result in results]}
        if failures:
            document["failures"] = [
                {"error": str(failure), "verification": failure.verification.to_dict()}
                for failure in failures
            ]
        print_json(document)
    else:
        for failure in failures:
            print_verification(
                f"{failure.path}: not written, {name_images(failure.verification)}",
                failure.verification,
            )
        _print_exported(results)
    if failures:
        print(f"error: {' '.join(map(str, failures))}", file=sys.stderr)
        raise typer.Exit(VerificationFailed.exit_code)


def _print_exported(results: list[Any]) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    for result in results:
        manifest = result.manifest
        title = (
            f"{result.path}: {manifest.format} {manifest.scheme}, {megabytes(manifest.file['bytes'])}, "
            f"{result.seconds:.1f} s"
        )
        if result.verification is None:
            console.print(f"[bold]{title}[/] [yellow](not verified)[/]\n", soft_wrap=True)
        else:
            images = name_images(result.verification)
            print_verification(f"{title}, verified on {images}", result.verification)
    if results:
        console.print(f"Next: vitsd-export predict {results[-1].path} IMAGE", soft_wrap=True)
