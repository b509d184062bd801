"""Options that several commands share, and how their values are read."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from vitsd_export.cli.state import set_debug, set_json
from vitsd_export.errors import UsageError
from vitsd_export.model.sources import options as sources

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
    typer.Option(
        help="How ranges follow from them, where a scheme takes any. Default: the scheme's."
    ),
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
    bool, typer.Option("--json", callback=set_json, help="One JSON document on standard output.")
]
Debug = Annotated[
    bool, typer.Option("--debug", callback=set_debug, help="Show the traceback of an error.")
]
Artifact = Annotated[Path, typer.Argument(help="ONNX or LiteRT file, or SavedModel folder.")]


def parse_batch(batch: str) -> int | None:
    if batch == "dynamic":
        return None
    if not batch.isdecimal() or int(batch) < 1:
        raise UsageError(f"--batch must be a number from 1 or 'dynamic', not {batch!r}.")
    return int(batch)


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
    from vitsd_export.quantization.schemes import DEFAULT_QUANTIZED

    if quantize and scheme not in (None, DEFAULT_QUANTIZED):
        raise UsageError(
            f"--quantize means --scheme {DEFAULT_QUANTIZED}, but --scheme {scheme} was given too."
        )
    return DEFAULT_QUANTIZED if quantize else (scheme or "float32")


def output_path(output: Path | None, default: str) -> Path:
    if str(output) in ("probabilities", "logits"):
        raise UsageError(
            f"--output names the file to write. For a file that answers with {output}, give "
            f"--answer {output}."
        )
    return output or Path(default)
