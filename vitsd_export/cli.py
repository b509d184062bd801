"""The command line. A command parses, calls one function of the package, and prints."""

import contextlib
import json
import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Literal

import typer

from vitsd_export import __version__
from vitsd_export.errors import (
    EnvironmentProblem,
    UsageError,
    VerificationError,
    VitsdExportError,
)
from vitsd_export.model.sources import options as sources
from vitsd_export.pretrained import DEFAULT_MODEL

app = typer.Typer(
    name="vitsd-export",
    help="Exports Keras vision transformers for small datasets to ONNX, LiteRT and SavedModel; every "
    "file is proven to answer as the Keras model does, on real images.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


class _State:
    """What the options before and after a command's name set for the whole process."""

    debug = False
    json = False


def _set_debug(value: bool) -> bool:
    _State.debug = _State.debug or value
    return value


def _set_json(value: bool) -> bool:
    _State.json = _State.json or value
    return value


def _show_version(value: bool) -> None:
    if value:
        print(f"vitsd-export {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Options of the program itself."""


Model = Annotated[
    str,
    typer.Option(
        help="hf://owner/name, SavedModel folder, .keras or .h5 file, or bundled model.",
        show_default=True,
    ),
]
Preset = Annotated[
    str | None, typer.Option(help="Architecture of a weights file: vit-tiny or vit-small-ds.")
]
InputRange = Annotated[
    Literal["0-255", "0-1", "-1-1"] | None,
    typer.Option(help="Pixels the model was trained on, if it does not scale them itself."),
]
CustomObjects = Annotated[
    str | None,
    typer.Option(help="Python file with the model's own layers; it is run.", metavar="MODULE:FILE"),
]
Trust = Annotated[
    bool,
    typer.Option("--trust", help="Run code inside the model (Lambda layers) with all your rights."),
]
Labels = Annotated[
    str | None,
    typer.Option(
        help="File with a class name a line, or CIFAR-100's fine or coarse ones. Default: the model's "
        "own, else CIFAR's.",
        metavar="FILE|fine|coarse",
    ),
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="Where it goes. Default: beside you.")
]
OutputMeaning = Annotated[
    Literal["probabilities", "logits"], typer.Option("--answer", help="What the file returns.")
]
InputType = Annotated[
    Literal["uint8", "float32"], typer.Option("--input", help="Type of the pixels 0-255 it takes.")
]
Verify = Annotated[
    bool, typer.Option("--verify/--no-verify", help="Compare with Keras before the file is kept.")
]
Lowering = Annotated[
    bool,
    typer.Option(
        "--lowering/--no-lowering", help="Rewrite the model for inference; see `explain`."
    ),
]
NoRewrite = Annotated[
    list[str] | None,
    typer.Option("--no-rewrite", help="Leave a rewrite out; may be given again.", metavar="NAME"),
]
CalibrationData = Annotated[
    str,
    typer.Option(
        help="Training images that set int8 ranges: sample (bundled), cifar10, cifar100, or a folder."
    ),
]
CalibrationDataDir = Annotated[
    Path | None,
    typer.Option(help="Folder of cifar10 or cifar100. Default: Keras's cache."),
]
CalibrationSamples = Annotated[int, typer.Option(min=1, help="How many of them.")]
CalibrationSeed = Annotated[int, typer.Option(min=0, help="Which of them.")]
CalibrationSplit = Annotated[
    Literal["train", "test"], typer.Option(help="Which split of them; test only with --force.")
]
CalibrationMethod = Annotated[
    Literal["minmax", "percentile", "entropy", "mse"] | None,
    typer.Option(help="How ranges follow from them. Default: the scheme's."),
]
Force = Annotated[
    bool, typer.Option("--force", help="Calibrate on test images, or on very few, all the same.")
]
Scheme = Annotated[
    str | None,
    typer.Option(help="Numeric scheme; `vitsd-export schemes` lists them. Default: float32."),
]
Quantize = Annotated[
    bool, typer.Option("--quantize", help="Same as --scheme int8.", show_default=False)
]
KeepFloat = Annotated[
    list[str] | None,
    typer.Option(
        "--keep-float", help="Leave a layer in float; may be given again.", metavar="NAME"
    ),
]
HeadRank = Annotated[
    str,
    typer.Option(
        help="Width that the head's wide layers are narrowed to inside: a number, auto or off."
    ),
]
Json = Annotated[
    bool, typer.Option("--json", callback=_set_json, help="One JSON document on standard output.")
]
Debug = Annotated[
    bool, typer.Option("--debug", callback=_set_debug, help="Show the traceback of an error.")
]
Artifact = Annotated[Path, typer.Argument(help="ONNX or LiteRT file, or SavedModel folder.")]


def _parse_batch(batch: str) -> int | None:
    if batch == "dynamic":
        return None
    if not batch.isdecimal() or int(batch) < 1:
        raise UsageError(f"--batch must be a number from 1 or 'dynamic', not {batch!r}.")
    return int(batch)


def _source(
    input_range: sources.InputRange | None, custom_objects: str | None, trust: bool
) -> sources.SourceOptions:
    return {"input_range": input_range, "custom_objects": custom_objects, "trust": trust}


def _parse_head_rank(rank: str) -> int | Literal["auto"] | None:
    if rank == "auto":
        return "auto"
    if rank == "off":
        return None
    if not rank.isdecimal() or int(rank) < 1:
        raise UsageError(f"--head-rank must be a number from 1, auto or off, not {rank!r}.")
    return int(rank)


def _choose_scheme(scheme: str | None, quantize: bool) -> str:
    from vitsd_export.quantization.schemes import DEFAULT_QUANTIZED

    if quantize and scheme not in (None, DEFAULT_QUANTIZED):
        raise UsageError(
            f"--quantize means --scheme {DEFAULT_QUANTIZED}, but --scheme {scheme} was given too."
        )
    return DEFAULT_QUANTIZED if quantize else (scheme or "float32")


def _output_path(output: Path | None, default: str) -> Path:
    if str(output) in ("probabilities", "logits"):
        raise UsageError(
            f"--output names the file to write. For a file that answers with {output}, give "
            f"--answer {output}."
        )
    return output or Path(default)


@contextlib.contextmanager
def _progress() -> Iterator[Any]:
    """Yields a function that shows what is going on, on standard error."""
    from rich.console import Console

    # A descriptor of its own: converters are muted by redirecting descriptor 2.
    with os.fdopen(os.dup(2), "w") as stream:
        console = Console(file=stream)
        if not console.is_terminal:
            yield lambda message: print(message, file=stream, flush=True)
            return
        with console.status("starting") as status:
            yield status.update


def _print_json(document: Any) -> None:
    print(json.dumps(document, indent=2, ensure_ascii=False, default=str))


def _print_verification(title: str, verification: Any) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    console.print(Text(title, style="bold"), soft_wrap=True)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("", "check", "measured", "limit"):
        table.add_column(heading, justify="left" if heading in ("", "check") else "right")
    for check in verification.checks:
        unit = f" {check.unit}" if check.unit else ""
        table.add_row(
            "[green]✓[/]" if check.passed else "[red]✗[/]",
            check.name,
            f"{check.value:.4g}{unit}",
            f"{'≤' if check.relation == '<=' else '≥'} {check.limit:.4g}{unit}",
        )
    for reason in verification.skipped:
        table.add_row("-", reason, "", "")
    parity = verification.parity
    if parity.reference_top1 is not None:
        table.add_row("", "top-1 of Keras", f"{parity.reference_top1:.2%}", "")
        table.add_row("", "top-1 of the artifact", f"{parity.artifact_top1:.2%}", "")
    console.print(table)


def _size(count: int) -> str:
    return f"{count / 1e6:.2f} MB"


def _print_exported(results: list[Any]) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    for result in results:
        manifest = result.manifest
        title = (
            f"{result.path}: {manifest.format} {manifest.scheme}, {_size(manifest.file['bytes'])}, "
            f"{result.seconds:.1f} s"
        )
        if result.verification is None:
            console.print(f"[bold]{title}[/] [yellow](not verified)[/]\n", soft_wrap=True)
        else:
            images = result.verification.images
            _print_verification(f"{title}, verified on {images} images", result.verification)
    if results:
        console.print(f"Next: vitsd-export predict {results[-1].path} IMAGE", soft_wrap=True)


def _run(targets: list[Any], calibration: Any = None, **options: Any) -> None:
    """Exports targets and prints what came of them; one that misses its gate does not stop the others."""
    from vitsd_export.export import Export, VerificationFailed, check

    for target in targets:
        check(target)
    results: list[Any] = []
    failures: list[VerificationFailed] = []
    with _progress() as progress:
        export = Export(progress=progress, **options)
        for target in targets:
            try:
                results.append(export.run(target, calibration))
            except VerificationFailed as missed:
                failures.append(missed)
    if failures and len(targets) == 1:
        raise failures[0]
    if _State.json:
        document: dict[str, Any] = {"artifacts": [result.to_dict() for result in results]}
        if failures:
            document["failures"] = [
                {"error": str(failure), "verification": failure.verification.to_dict()}
                for failure in failures
            ]
        _print_json(document)
    else:
        for failure in failures:
            _print_verification(
                f"{failure.path}: not written, {failure.verification.images} images",
                failure.verification,
            )
        _print_exported(results)
    if failures:
        print(f"error: {' '.join(map(str, failures))}", file=sys.stderr)
        raise typer.Exit(VerificationFailed.exit_code)


@app.command()
def onnx(
    model: Model = DEFAULT_MODEL,
    preset: Preset = None,
    input_range: InputRange = None,
    custom_objects: CustomObjects = None,
    trust: Trust = False,
    output: Output = None,
    quantize: Quantize = False,
    scheme: Scheme = None,
    cpu: Annotated[
        Literal["avx2", "vnni", "arm"],
        typer.Option(help="What integers are chosen for; avx2 is right everywhere."),
    ] = "avx2",
    opset: Annotated[
        int | None, typer.Option(help="ONNX operator set, 13 to 26. Default: 21; not lowered, 17.")
    ] = None,
    batch: Annotated[str, typer.Option(help="Images in a call: a number, or dynamic.")] = "dynamic",
    keep_float: KeepFloat = None,
    head_rank: HeadRank = "off",
    calibration_data: CalibrationData = "sample",
    calibration_data_dir: CalibrationDataDir = None,
    calibration_split: CalibrationSplit = "train",
    calibration_samples: CalibrationSamples = 512,
    calibration_seed: CalibrationSeed = 0,
    calibration_method: CalibrationMethod = None,
    force: Force = False,
    labels: Labels = None,
    answer: OutputMeaning = "probabilities",
    input: InputType = "uint8",
    verify: Verify = True,
    lowering: Lowering = True,
    no_rewrite: NoRewrite = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Exports to ONNX: one self-contained file for onnxruntime on every platform."""
    from vitsd_export.export import CalibrationSource, Target, default_name

    chosen = _choose_scheme(scheme, quantize)
    target = Target(
        "onnx",
        _output_path(output, default_name(model, "onnx", chosen)),
        chosen,
        batch=_parse_batch(batch),
        opset=opset,
        cpu=cpu,
        keep_float=tuple(keep_float or ()),
        head_rank=_parse_head_rank(head_rank),
    )
    _run(
        [target],
        CalibrationSource(
            calibration_data,
            calibration_samples,
            calibration_seed,
            calibration_data_dir,
            calibration_split,
            calibration_method,
            force,
        ),
        model=model,
        preset=preset,
        **_source(input_range, custom_objects, trust),
        labels=labels,
        output=answer,
        input_type=input,
        verify=verify,
        lowering=lowering,
        without_rewrites=no_rewrite or (),
    )


@app.command()
def tflite(
    model: Model = DEFAULT_MODEL,
    preset: Preset = None,
    input_range: InputRange = None,
    custom_objects: CustomObjects = None,
    trust: Trust = False,
    output: Output = None,
    quantize: Quantize = False,
    scheme: Scheme = None,
    batch: Annotated[int, typer.Option(min=1, help="Images in a call.")] = 1,
    keep_float: KeepFloat = None,
    head_rank: HeadRank = "off",
    calibration_data: CalibrationData = "sample",
    calibration_data_dir: CalibrationDataDir = None,
    calibration_split: CalibrationSplit = "train",
    calibration_samples: CalibrationSamples = 512,
    calibration_seed: CalibrationSeed = 0,
    calibration_method: CalibrationMethod = None,
    force: Force = False,
    labels: Labels = None,
    answer: OutputMeaning = "probabilities",
    input: InputType = "uint8",
    verify: Verify = True,
    lowering: Lowering = True,
    no_rewrite: NoRewrite = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Exports to LiteRT (TensorFlow Lite) for Android, iOS, Raspberry Pi and microprocessors."""
    from vitsd_export.export import CalibrationSource, Target, default_name

    chosen = _choose_scheme(scheme, quantize)
    path = _output_path(output, default_name(model, "tflite", chosen))
    _run(
        [
            Target(
                "tflite",
                path,
                chosen,
                batch=batch,
                keep_float=tuple(keep_float or ()),
                head_rank=_parse_head_rank(head_rank),
            )
        ],
        CalibrationSource(
            calibration_data,
            calibration_samples,
            calibration_seed,
            calibration_data_dir,
            calibration_split,
            calibration_method,
            force,
        ),
        model=model,
        preset=preset,
        **_source(input_range, custom_objects, trust),
        labels=labels,
        output=answer,
        input_type=input,
        verify=verify,
        lowering=lowering,
        without_rewrites=no_rewrite or (),
    )


@app.command()
def saved_model(
    model: Model = DEFAULT_MODEL,
    preset: Preset = None,
    input_range: InputRange = None,
    custom_objects: CustomObjects = None,
    trust: Trust = False,
    output: Output = None,
    batch: Annotated[str, typer.Option(help="Images in a call: a number, or dynamic.")] = "dynamic",
    labels: Labels = None,
    answer: OutputMeaning = "probabilities",
    input: InputType = "uint8",
    verify: Verify = True,
    lowering: Lowering = True,
    no_rewrite: NoRewrite = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Exports to a TensorFlow SavedModel folder for TensorFlow Serving and tf.saved_model.load."""
    from vitsd_export.export import Target, default_name

    path = _output_path(output, default_name(model, "saved_model"))
    _run(
        [Target("saved_model", path, batch=_parse_batch(batch))],
        model=model,
        preset=preset,
        **_source(input_range, custom_objects, trust),
        labels=labels,
        output=answer,
        input_type=input,
        verify=verify,
        lowering=lowering,
        without_rewrites=no_rewrite or (),
    )


@app.command(name="all")
def export_all(
    model: Model = DEFAULT_MODEL,
    preset: Preset = None,
    input_range: InputRange = None,
    custom_objects: CustomObjects = None,
    trust: Trust = False,
    output_dir: Annotated[
        Path,
        typer.Option("--output-dir", "-o", help="Folder for the files; made if it is missing."),
    ] = Path("out"),
    calibration_data: CalibrationData = "sample",
    calibration_data_dir: CalibrationDataDir = None,
    calibration_split: CalibrationSplit = "train",
    calibration_samples: CalibrationSamples = 512,
    calibration_seed: CalibrationSeed = 0,
    calibration_method: CalibrationMethod = None,
    force: Force = False,
    labels: Labels = None,
    answer: OutputMeaning = "probabilities",
    input: InputType = "uint8",
    verify: Verify = True,
    lowering: Lowering = True,
    no_rewrite: NoRewrite = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Exports to all formats: SavedModel, and LiteRT and ONNX in float32 and int8."""
    from vitsd_export.export import CalibrationSource, Target, default_name, make_folder

    make_folder(output_dir)
    kinds: list[tuple[Literal["onnx", "tflite", "saved_model"], str]] = [
        ("saved_model", "float32"),
        ("tflite", "float32"),
        ("tflite", "int8"),
        ("onnx", "float32"),
        ("onnx", "int8"),
    ]
    _run(
        [
            Target(format, output_dir / default_name(model, format, scheme), scheme)
            for format, scheme in kinds
        ],
        CalibrationSource(
            calibration_data,
            calibration_samples,
            calibration_seed,
            calibration_data_dir,
            calibration_split,
            calibration_method,
            force,
        ),
        model=model,
        preset=preset,
        **_source(input_range, custom_objects, trust),
        labels=labels,
        output=answer,
        input_type=input,
        verify=verify,
        lowering=lowering,
        without_rewrites=no_rewrite or (),
    )


@app.command()
def verify(
    artifacts: Annotated[
        list[Path], typer.Argument(help="ONNX or LiteRT files, SavedModel folders.")
    ],
    reference: Annotated[
        str | None,
        typer.Option(help="Model they were made from. Default: the bundled one they name."),
    ] = None,
    preset: Preset = None,
    input_range: InputRange = None,
    custom_objects: CustomObjects = None,
    trust: Trust = False,
    data: Annotated[
        str, typer.Option(help="Images: sample (bundled), cifar10, cifar100, or a folder.")
    ] = "sample",
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder of cifar10 or cifar100. Default: Keras's cache.")
    ] = None,
    scheme: Annotated[
        str | None, typer.Option(help="Whose limits apply. Default: the artifact's own.")
    ] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Proves again that artifacts answer as their Keras model does; exit code 4 if one does not."""
    from vitsd_export.verify import verify_all

    with _progress() as progress:
        results = verify_all(
            artifacts,
            reference=reference,
            preset=preset,
            **_source(input_range, custom_objects, trust),
            data=data,
            data_dir=data_dir,
            scheme=scheme,
            progress=progress,
        )
    if _State.json:
        _print_json({"artifacts": [result.to_dict() for result in results]})
    else:
        for result in results:
            images = result.verification.images
            title = (
                f"{result.path}: {result.verification.scheme} in {result.runtime}, {images} images"
            )
            if result.same_source is False:
                title += "\n(made from another file than the reference)"
            _print_verification(title, result.verification)
    failed = [result for result in results if not result.verification.passed]
    if failed:
        figures = "; ".join(
            f"{result.path}: {', '.join(map(str, result.verification.failures))}"
            for result in failed
        )
        # Not raised: standard output already holds the one JSON document.
        print(
            f"error: Not as the reference model answers: {figures}. Give the model it was made from "
            "as --reference, or export it again.",
            file=sys.stderr,
        )
        raise typer.Exit(VerificationError.exit_code)


@app.command()
def predict(
    artifact: Artifact,
    images: Annotated[list[Path], typer.Argument(help="Pictures of any size.")],
    top: Annotated[int, typer.Option(min=1, help="Classes to name.")] = 5,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Classifies pictures with an artifact."""
    from vitsd_export.prediction import predict as run
    from vitsd_export.runtimes import open_runner

    with open_runner(artifact) as runner:
        predictions = run(runner, images, top)
    if _State.json:
        _print_json(
            [
                {
                    "image": str(prediction.path),
                    "classes": [
                        {"label": label, "probability": probability}
                        for label, probability in prediction.classes
                    ],
                }
                for prediction in predictions
            ]
        )
        return
    for prediction in predictions:
        print(prediction.path)
        for label, probability in prediction.classes:
            print(f"  {probability:7.2%}  {label}")


@app.command()
def inspect(
    artifact: Artifact,
    nodes: Annotated[
        bool, typer.Option("--nodes", help="Also list the operators of an ONNX or LiteRT graph.")
    ] = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Shows what is in an artifact: tensors, operators, labels, scheme, provenance."""
    from vitsd_export.inspection import inspect_artifact

    info = inspect_artifact(artifact)
    if _State.json:
        _print_json(info.to_dict())
        return
    _print_info(info)
    if nodes:
        width = max((len(node.op) for node in info.graph.nodes), default=0)
        for node in info.graph.nodes:
            print(f"{node.op:{width}}  {node.name}  ←  {', '.join(node.inputs)}")


@app.command()
def convert(
    source: Annotated[str, typer.Argument(help="What --model takes, such as hf://owner/name.")],
    output: Annotated[Path, typer.Argument(help="The .keras file to write.")],
    preset: Preset = None,
    input_range: InputRange = None,
    custom_objects: CustomObjects = None,
    trust: Trust = False,
    labels: Labels = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Writes any source as a Keras 3 file, ready for every other command, training and Keras itself."""
    from vitsd_export.to_keras import convert_model

    with _progress() as progress:
        converted = convert_model(
            source,
            output,
            preset=preset,
            **_source(input_range, custom_objects, trust),
            labels=labels,
            progress=progress,
        )
    if _State.json:
        _print_json(converted.to_dict())
        return
    print(
        f"{output}: {converted.form}, {_size(converted.bytes)}, answers as the source does (largest "
        f"difference {converted.difference:.1e})"
    )
    print(f"Next: vitsd-export onnx --model {output}")


@app.command()
def schemes(json: Json = False, debug: Debug = False) -> None:
    """Lists the numeric schemes: what they store in fewer bits, and where such files run."""
    from vitsd_export.quantization.schemes import SCHEMES

    if _State.json:
        _print_json([scheme.to_dict() for scheme in SCHEMES.values()])
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("scheme", "weights", "computed with", "LiteRT", "ONNX"):
        table.add_column(heading, overflow="fold")
    for scheme in SCHEMES.values():
        table.add_row(
            scheme.name,
            scheme.weights,
            scheme.activations,
            *(scheme.runs_on.get(format, "no") for format in ("tflite", "onnx")),
        )
    Console(highlight=False).print(table)


@app.command()
def quantize(
    model: Annotated[
        str, typer.Argument(help="What --model takes; see `vitsd-export onnx --help`.")
    ] = DEFAULT_MODEL,
    preset: Preset = None,
    input_range: InputRange = None,
    custom_objects: CustomObjects = None,
    trust: Trust = False,
    output: Output = None,
    target: Annotated[
        Literal["litert", "onnx"], typer.Option(help="Format of the artifact.")
    ] = "onnx",
    max_drop: Annotated[
        float, typer.Option(help="Points of top-1 that may be lost on held-out training images.")
    ] = 0.3,
    objective: Annotated[
        Literal["latency", "size"], typer.Option(help="What is to be least.")
    ] = "latency",
    scheme: Annotated[
        list[str] | None, typer.Option(help="Scheme to try; may be given again. Default: all.")
    ] = None,
    cpu: Annotated[
        Literal["avx2", "vnni", "arm"], typer.Option(help="What ONNX integers are chosen for.")
    ] = "avx2",
    calibration_data: CalibrationData = "sample",
    calibration_data_dir: CalibrationDataDir = None,
    calibration_samples: CalibrationSamples = 512,
    calibration_seed: CalibrationSeed = 0,
    plot: Annotated[Path | None, typer.Option(help="PNG to draw the candidates into.")] = None,
    state: Annotated[
        Path | None,
        typer.Option(help="Where measurements are kept. Default: beside the artifact."),
    ] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Finds the fastest or smallest artifact within a loss of accuracy, and writes it."""
    from vitsd_export.export import CalibrationSource, default_name
    from vitsd_export.quantize import quantize_model

    format: Literal["onnx", "tflite"] = "tflite" if target == "litert" else "onnx"
    path = _output_path(output, default_name(model, format, "quantized"))
    with _progress() as progress:
        result = quantize_model(
            model,
            output=path,
            format=format,
            preset=preset,
            **_source(input_range, custom_objects, trust),
            max_drop=max_drop,
            objective=objective,
            schemes=scheme or (),
            cpu=cpu,
            source=CalibrationSource(
                calibration_data, calibration_samples, calibration_seed, calibration_data_dir
            ),
            state=state or path.with_name(f"{path.name}.search.json"),
            progress=progress,
        )
    if plot is not None:
        from vitsd_export.quantization.plots import write_pareto_plot

        write_pareto_plot(result.outcome, plot, path.name)
    if _State.json:
        _print_json(result.to_dict())
        return
    from vitsd_export.quantization_output import print_quantized

    print_quantized(result)


@app.command()
def sensitivity(
    model: Annotated[
        str, typer.Argument(help="What it was made from; or a float32 artifact of it.")
    ],
    artifact: Artifact,
    preset: Preset = None,
    data: Annotated[
        str, typer.Option(help="Training images: sample (bundled), cifar10, cifar100, or a folder.")
    ] = "sample",
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder of cifar10 or cifar100. Default: Keras's cache.")
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="How many of them.")] = 128,
    plot: Annotated[Path | None, typer.Option(help="PNG to draw the layers into.")] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Shows which layers of an ONNX or LiteRT file lose most to quantization, the worst first."""
    from vitsd_export.layer_sensitivity import artifact_sensitivity

    with _progress() as progress:
        found = artifact_sensitivity(
            model,
            artifact,
            preset=preset,
            data=data,
            data_dir=data_dir,
            samples=samples,
            progress=progress,
        )
    if plot is not None:
        from vitsd_export.quantization.plots import write_sensitivity_plot

        write_sensitivity_plot(found, plot, artifact.name)
    if _State.json:
        _print_json(found.to_dict())
        return
    from vitsd_export.quantization_output import print_sensitivity

    print_sensitivity(found)


@app.command()
def explain(
    model: Annotated[
        str, typer.Argument(help="What --model takes; see `vitsd-export onnx --help`.")
    ] = DEFAULT_MODEL,
    preset: Preset = None,
    input_range: InputRange = None,
    custom_objects: CustomObjects = None,
    trust: Trust = False,
    no_rewrite: NoRewrite = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Shows what each rewrite of the lowering takes out of a model, and the time limit that is left."""
    from vitsd_export.explain import explain_lowering

    with _progress() as progress:
        explanation = explain_lowering(
            model,
            preset=preset,
            **_source(input_range, custom_objects, trust),
            without_rewrites=no_rewrite or (),
            progress=progress,
        )
    if _State.json:
        _print_json(explanation.to_dict())
    else:
        _print_explanation(explanation)


def _print_explanation(explanation: Any) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    if explanation.reason is not None:
        reason = explanation.reason
        console.print(f"{explanation.model} is exported as it is: {reason}.", soft_wrap=True)
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    headings = ("multiply-adds", "weights", "operators", "read per image", "limit")
    for heading in ("", *headings):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=not heading)
    table.add_row("as trained", *_stage_cells(explanation.trained, ""), end_section=True)
    for step in explanation.steps:
        if step.reason is None:
            table.add_row(step.name, *_stage_cells(step.removed, "-"))
        else:
            table.add_row(f"[dim]{step.name}[/]", *["[dim]not applied[/]"], "", "", "", "")
    table.add_section()
    table.add_row("lowered", *_stage_cells(explanation.lowered, ""), style="bold")
    console.print(table)
    for step in explanation.steps:
        note = step.summary if step.reason is None else f"not applied: {step.reason}"
        console.print(f"{step.name}: {note}", soft_wrap=True)
    machine = explanation.machine
    console.print(
        f"\nThe limit is for {machine.threads} thread at {machine.flops / 1e9:.0f} GFLOP/s and "
        f"{machine.bandwidth / 1e9:.1f} GB/s, measured just now.",
        soft_wrap=True,
    )


def _stage_cells(stage: Any, sign: str) -> list[str]:
    """The figures of a stage; with the sign turned where it is what was removed."""
    turn = -1 if sign else 1
    form = "+" if sign else ""

    def cell(value: float, pattern: str) -> str:
        # Not "-0".
        return "" if sign and not value else f"{turn * value:{form}{pattern}}"

    return [
        cell(stage.multiply_adds / 1e6, ".2f") and f"{cell(stage.multiply_adds / 1e6, '.2f')} M",
        cell(stage.weights, ",d"),
        cell(stage.operators, "d"),
        cell(stage.bytes / 1e6, ".2f") and f"{cell(stage.bytes / 1e6, '.2f')} MB",
        cell(stage.milliseconds, ".3f") and f"{cell(stage.milliseconds, '.3f')} ms",
    ]


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
    yield "size", _size(info.bytes)
    for name, tensors in (("input", info.inputs), ("output", info.outputs)):
        for tensor in tensors:
            yield name, str(tensor)
    for dtype, group in info.graph.weights.items():
        yield (
            "weights",
            f"{dtype}: {group.elements:,} in {group.tensors} tensors, {_size(group.bytes)}",
        )
    for numbers, group in info.arithmetic.items():
        adds = "an unknown number of" if group.multiply_adds is None else f"{group.multiply_adds:,}"
        yield (
            "products",
            f"{numbers}: {group.operators}, {adds} multiply-adds an image, {_size(group.bytes)} of weights",
        )
    total = sum(info.ops.values())
    yield "operators", f"{total}: " + ", ".join(f"{k} {v}" for k, v in info.ops.items())
    if info.custom_ops:
        yield "not built in", ", ".join(info.custom_ops)
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


def _report(error: VitsdExportError) -> None:
    verification = getattr(error, "verification", None)
    if _State.json:
        document: dict[str, Any] = {"error": str(error), "exit_code": error.exit_code}
        if verification is not None:
            document["verification"] = verification.to_dict()
        _print_json(document)
    elif verification is not None:
        title = f"{getattr(error, 'path', '')}: not written, {verification.images} images"
        _print_verification(title, verification)
    print(f"error: {error}", file=sys.stderr)


def _show_bug(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if _State.debug:
        sys.__excepthook__(kind, error, trace)
        return
    reason = " ".join(f"{kind.__name__}: {error}".split())
    _report(
        VitsdExportError(
            f"This is a bug in vitsd-export ({reason}). Run the command again with --debug and report "
            "what it prints."
        )
    )


def main() -> None:
    """Runs the command line; exit codes: 0 done, 1 bug, 2 usage, 3 input, 4 verification, 5 environment."""
    sys.excepthook = _show_bug
    as_json = "--json" in sys.argv
    try:
        # Not `app()`, which puts an exception hook of its own in place.
        sys.exit(typer.main.get_command(app)(standalone_mode=not as_json))
    except typer.TyperException as error:
        # What typer finds wrong with the options it prints itself, unless JSON is asked for.
        _State.json = True
        _report(UsageError(error.format_message()))
        sys.exit(error.exit_code)
    except VitsdExportError as error:
        if _State.debug:
            traceback.print_exc()
        _report(error)
        sys.exit(error.exit_code)
    except MemoryError:
        _report(EnvironmentProblem("There is not enough memory for this model."))
        sys.exit(EnvironmentProblem.exit_code)
