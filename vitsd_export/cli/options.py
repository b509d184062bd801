"""Options that several commands share, and how their values are read."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from vitsd_export.cli.state import set_debug, set_json
from vitsd_export.errors import UsageError
from vitsd_export.sources import options as sources

Model = Annotated[
    str,
    typer.Option(
        help="hf://owner/name, SavedModel folder, .keras or .h5 file, or the name of a bundled model.",
        show_default=True,
    ),
]
Preset = Annotated[
    str | None, typer.Option(help="Architecture of a weights-only file: vit-tiny or vit-small-ds.")
]
InputRange = Annotated[
    Literal["0-255", "0-1", "-1-1"] | None,
    typer.Option(help="Pixel range the model expects, if it does not rescale pixels itself."),
]
CustomObjects = Annotated[
    str | None,
    typer.Option(
        help="Python file that defines the model's custom layers. It is executed.",
        metavar="MODULE:FILE",
    ),
]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust", help="Run code stored in the model (Lambda layers), with your permissions."
    ),
]
Labels = Annotated[
    str | None,
    typer.Option(
        help="File with one class name per line, or CIFAR-100's fine or coarse names. Default: the "
        "model's own names, else CIFAR's.",
        metavar="FILE|fine|coarse",
    ),
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="Output path. Default: the current folder.")
]
OutputMeaning = Annotated[
    Literal["probabilities", "logits"], typer.Option("--answer", help="What the artifact outputs.")
]
InputType = Annotated[
    Literal["uint8", "float32"], typer.Option("--input", help="Type of the input pixels, 0-255.")
]
Verify = Annotated[
    bool,
    typer.Option(
        "--verify/--no-verify", help="Verify the artifact against Keras before writing it."
    ),
]
Lowering = Annotated[
    bool,
    typer.Option(
        "--lowering/--no-lowering", help="Lower the model to an inference graph; see `explain`."
    ),
]
NoRewrite = Annotated[
    list[str] | None,
    typer.Option("--no-rewrite", help="Skip this rewrite. Repeatable.", metavar="NAME"),
]
CalibrationData = Annotated[
    str,
    typer.Option(help="Calibration images: sample (bundled), cifar10, cifar100, or a folder."),
]
CalibrationDataDir = Annotated[
    Path | None,
    typer.Option(help="Folder that holds cifar10 or cifar100. Default: Keras's cache."),
]
CalibrationSamples = Annotated[int, typer.Option(min=1, help="Number of calibration images.")]
CalibrationSeed = Annotated[
    int, typer.Option(min=0, help="Seed that selects the calibration images.")
]
CalibrationSplit = Annotated[
    Literal["train", "test"], typer.Option(help="Split to take them from; test needs --force.")
]
CalibrationMethod = Annotated[
    Literal["minmax", "percentile", "entropy", "mse"] | None,
    typer.Option(help="How activation ranges are calibrated. Default: the scheme's own method."),
]
Force = Annotated[
    bool,
    typer.Option("--force", help="Allow calibration on test images, or on fewer than 16 images."),
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
    typer.Option("--keep-float", help="Keep this layer in float32. Repeatable.", metavar="NAME"),
]
HeadRank = Annotated[
    str,
    typer.Option(
        help="Rank of the low-rank factorization of the head's wide layers: a number, auto or off."
    ),
]
Json = Annotated[
    bool,
    typer.Option("--json", callback=set_json, help="Print one JSON document on standard output."),
]
Debug = Annotated[
    bool, typer.Option("--debug", callback=set_debug, help="Print the traceback of an error.")
]
Artifact = Annotated[Path, typer.Argument(help="ONNX or LiteRT file, or SavedModel folder.")]


def parse_batch(batch: str) -> int | None:
    if batch == "dynamic":
        return None
    if not batch.isdecimal() or int(batch) < 1:
        raise UsageError(f"--batch must be a number from 1 or 'dynamic', not {batch!r}.")
    return int(batch)


def parse_numbers(option: str, text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.strip().isdecimal() and int(part) >= 1 for part in parts):
        raise UsageError(f"{option} must be numbers from 1 with commas between, not {text!r}.")
    return tuple(int(part) for part in parts)


def source_options(
    input_range: sources.InputRange | None, custom_objects: str | None, trust: bool
) -> sources.SourceOptions:
    return {"input_range": input_range, "custom_objects": custom_objects, "trust": trust}


def parse_head_rank(rank: str) -> int | Literal["auto"] | None:
    if rank == "auto":
        return "auto"
    if rank == "off":
        return None
    if not rank.isdecimal() or int(rank) < 1:
        raise UsageError(f"--head-rank must be a number from 1, auto or off, not {rank!r}.")
    return int(rank)


def choose_scheme(scheme: str | None, quantize: bool) -> str:
    from vitsd_export.quantization.schemes import BASELINE, DEFAULT_QUANTIZED

    if quantize and scheme not in (None, DEFAULT_QUANTIZED):
        raise UsageError(
            f"--quantize means --scheme {DEFAULT_QUANTIZED}, but --scheme {scheme} was given too."
        )
    return DEFAULT_QUANTIZED if quantize else (scheme or BASELINE)


def output_path(output: Path | None, default: str) -> Path:
    if str(output) in ("probabilities", "logits"):
        raise UsageError(
            f"--output names the file to write. For a file that answers with {output}, give "
            f"--answer {output}."
        )
    return output or Path(default)
