"""Options that several commands share, alone and in groups, and how their values are read."""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast, get_type_hints

import typer

from vitsd_export.cli.state import set_debug, set_json
from vitsd_export.errors import UsageError
from vitsd_export.sources.options import LoadingOptions

if TYPE_CHECKING:
    from vitsd_export.quantization.calibration.images import CalibrationSource

Model = Annotated[
    str,
    typer.Option(
        help="hf://owner/name, SavedModel folder, .keras or .h5 file, or the name of a bundled model.",
        show_default=True,
    ),
]
ModelArgument = Annotated[
    str, typer.Argument(help="Any source that --model accepts; see `vitsd-export onnx --help`.")
]
Artifact = Annotated[Path, typer.Argument(help="ONNX or LiteRT file, or SavedModel folder.")]
Artifacts = Annotated[list[Path], typer.Argument(help="ONNX or LiteRT files, SavedModel folders.")]
Preset = Annotated[
    str | None, typer.Option(help="Architecture of a weights-only file: vit-tiny or vit-small-ds.")
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
OutputFolder = Annotated[Path, typer.Option("--output", "-o", help="Output folder.")]
NoRewrite = Annotated[
    list[str] | None,
    typer.Option("--no-rewrite", help="Skip this rewrite. Repeatable.", metavar="NAME"),
]
Cpu = Annotated[
    Literal["avx2", "vnni", "arm"],
    typer.Option(help="CPU to choose the integers of ONNX for; avx2 is correct on every CPU."),
]
Batch = Annotated[str, typer.Option(help="Images per call: a number, or dynamic.")]
Reference = Annotated[
    str | None,
    typer.Option(
        help="Keras model they were exported from. Default: the bundled model their manifest names."
    ),
]
TestData = Annotated[
    str, typer.Option(help="Test images: sample (bundled), cifar10, cifar100, or a folder.")
]
DataDir = Annotated[
    Path | None,
    typer.Option(help="Folder that holds cifar10 or cifar100. Default: Keras's cache."),
]
Rounds = Annotated[
    int | None, typer.Option(min=1, help="Measurement rounds per process.", show_default=False)
]
Compare = Annotated[
    Path | None,
    typer.Option(help="JSON results of an older run; exit code 4 if this run is worse."),
]
Tolerance = Annotated[
    float, typer.Option(min=0, help="With --compare: relative change that is still accepted.")
]


@dataclasses.dataclass(frozen=True)
class Loading:
    """How a model is loaded."""

    preset: Preset = None
    input_range: Annotated[
        Literal["0-255", "0-1", "-1-1"] | None,
        typer.Option(help="Pixel range the model expects, if it does not rescale pixels itself."),
    ] = None
    custom_objects: Annotated[
        str | None,
        typer.Option(
            help="Python file that defines the model's custom layers. It is executed.",
            metavar="MODULE:FILE",
        ),
    ] = None
    trust: Annotated[
        bool,
        typer.Option(
            "--trust", help="Run code stored in the model (Lambda layers), with your permissions."
        ),
    ] = False

    @property
    def options(self) -> LoadingOptions:
        """What `load_model` takes."""
        return cast(LoadingOptions, dataclasses.asdict(self))


@dataclasses.dataclass(frozen=True)
class Named:
    """Where an artifact goes, and its scheme."""

    output: Output = None
    quantize: Annotated[
        bool, typer.Option("--quantize", help="Same as --scheme int8.", show_default=False)
    ] = False
    scheme: Annotated[
        str | None,
        typer.Option(help="Numeric scheme; `vitsd-export schemes` lists them. Default: float32."),
    ] = None


@dataclasses.dataclass(frozen=True)
class Layers:
    """Layers that are treated otherwise than the scheme says."""

    keep_float: Annotated[
        list[str] | None,
        typer.Option(
            "--keep-float", help="Keep this layer in float32. Repeatable.", metavar="NAME"
        ),
    ] = None
    head_rank: Annotated[
        str,
        typer.Option(
            help="Rank of the low-rank factorization of the head's wide layers: a number, auto or off."
        ),
    ] = "off"


@dataclasses.dataclass(frozen=True)
class CalibrationImages:
    """Which images are calibrated on."""

    calibration_data: Annotated[
        str,
        typer.Option(help="Calibration images: sample (bundled), cifar10, cifar100, or a folder."),
    ] = "sample"
    calibration_data_dir: DataDir = None
    calibration_samples: Annotated[
        int, typer.Option(min=1, help="Number of calibration images.")
    ] = 512
    calibration_seed: Annotated[
        int, typer.Option(min=0, help="Seed that selects the calibration images.")
    ] = 0

    def source(self, **details: Any) -> "CalibrationSource":
        """Returns the images as the quantizers take them."""
        from vitsd_export.quantization.calibration.images import CalibrationSource

        return CalibrationSource(
            self.calibration_data,
            self.calibration_samples,
            self.calibration_seed,
            self.calibration_data_dir,
            **details,
        )


@dataclasses.dataclass(frozen=True)
class Calibration(CalibrationImages):
    """Which images are calibrated on, and how."""

    calibration_split: Annotated[
        Literal["train", "test"], typer.Option(help="Split to take them from; test needs --force.")
    ] = "train"
    calibration_method: Annotated[
        Literal["minmax", "percentile", "entropy", "mse"] | None,
        typer.Option(
            help="How activation ranges are calibrated. Default: the scheme's own method."
        ),
    ] = None
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Allow calibration on test images, or on fewer than 16 images."
        ),
    ] = False

    def source(self, **details: Any) -> "CalibrationSource":
        """Returns the images as the quantizers take them."""
        return super().source(
            split=self.calibration_split, method=self.calibration_method, force=self.force
        )


@dataclasses.dataclass(frozen=True)
class Content:
    """What an artifact takes, answers and has to prove."""

    labels: Labels = None
    answer: Annotated[
        Literal["probabilities", "logits"],
        typer.Option("--answer", help="What the artifact outputs."),
    ] = "probabilities"
    input: Annotated[
        Literal["uint8", "float32"],
        typer.Option("--input", help="Type of the input pixels, 0-255."),
    ] = "uint8"
    verify: Annotated[
        bool,
        typer.Option(
            "--verify/--no-verify", help="Verify the artifact against Keras before writing it."
        ),
    ] = True
    lowering: Annotated[
        bool,
        typer.Option(
            "--lowering/--no-lowering", help="Lower the model to an inference graph; see `explain`."
        ),
    ] = True
    no_rewrite: NoRewrite = None


@dataclasses.dataclass(frozen=True)
class _Everywhere:
    """Options of every command; their callbacks set the `State`."""

    json: Annotated[
        bool,
        typer.Option(
            "--json", callback=set_json, help="Print one JSON document on standard output."
        ),
    ] = False
    debug: Annotated[
        bool, typer.Option("--debug", callback=set_debug, help="Print the traceback of an error.")
    ] = False


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Returns a command as typer takes it.

    The fields of each dataclass among its parameters are options of their own, and it has the options of
    every command.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, tuple[Callable[..., Any], list[str]]] = {}
    parameters: list[inspect.Parameter] = []

    def add_group(kind: Any) -> list[str]:
        types = get_type_hints(kind, include_extras=True)
        fields = dataclasses.fields(kind)
        parameters.extend(
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=field.default,
                annotation=types[field.name],
            )
            for field in fields
        )
        return [field.name for field in fields]

    for name, parameter in inspect.signature(command).parameters.items():
        kind = hints[name]
        if isinstance(kind, type) and dataclasses.is_dataclass(kind):
            groups[name] = (kind, add_group(kind))
        else:
            parameters.append(parameter.replace(annotation=kind, kind=parameter.KEYWORD_ONLY))
    everywhere = add_group(_Everywhere)

    @functools.wraps(command)
    def run(**given: Any) -> None:
        for name in everywhere:
            del given[name]
        for name, (kind, fields) in groups.items():
            given[name] = kind(**{field: given.pop(field) for field in fields})
        command(**given)

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def parse_batch(batch: str) -> int | None:
    if batch == "dynamic":
        return None
    if not batch.isdecimal() or int(batch) < 1:
        raise UsageError(f"--batch must be a number from 1 or 'dynamic', not {batch!r}.")
    return int(batch)


def parse_measurements(batches: str | None, threads: str | None, **others: Any) -> dict[str, Any]:
    """Returns the settings of a benchmark that were given."""
    given = {"--batches": batches, "--threads": threads}
    for option, text in given.items():
        if text is None:
            continue
        parts = text.split(",")
        if not all(part.strip().isdecimal() and int(part) >= 1 for part in parts):
            raise UsageError(f"{option} must be numbers from 1 with commas between, not {text!r}.")
        others[option.removeprefix("--")] = tuple(int(part) for part in parts)
    return {name: value for name, value in others.items() if value is not None}


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
