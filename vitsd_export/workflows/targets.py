"""What is asked for: artifacts to be made, checked before time is spent on them."""

import dataclasses
from pathlib import Path
from typing import Literal

from vitsd_export._internal.atomic_write import check_target
from vitsd_export.artifact.formats import FORMATS
from vitsd_export.artifact.manifest import Format, sidecar_path
from vitsd_export.errors import EnvironmentProblem, InputError, UsageError
from vitsd_export.exporters.exporter import Exporter, WriteOptions
from vitsd_export.exporters.registry import EXPORTERS
from vitsd_export.quantization.calibration.histogram import Method
from vitsd_export.quantization.calibration.images import CalibrationSource
from vitsd_export.quantization.making import Cpu
from vitsd_export.quantization.schemes import BASELINE, DEFAULT_QUANTIZED, SCHEMES, find_scheme
from vitsd_export.quantization.schemes.scheme import Recipe, Scheme
from vitsd_export.sources.location import source_name


@dataclasses.dataclass(frozen=True)
class Target:
    """An artifact to be made.

    Attributes:
        format: Name of its format: see `exporters.registry`.
        path: Where it goes.
        scheme: One of `schemes_of(format)`.
        batch: Images in a call; None for the format's own choice.
        opset: ONNX operator set; None leaves the choice to the exporter.
        cpu: What an ONNX file's integers are chosen for: see `quantization.onnx.quantizer.Settings`.
        keep_float: Layers to leave in float32, by name.
        head_rank: Rank of the head's wide layers, or `auto`; None to leave them whole.
    """

    format: Format
    path: Path
    scheme: str = BASELINE
    batch: int | None = None
    opset: int | None = None
    cpu: Cpu = "avx2"
    keep_float: tuple[str, ...] = ()
    head_rank: int | Literal["auto"] | None = None

    @property
    def exporter(self) -> Exporter:
        """What writes its format."""
        return EXPORTERS[self.format]

    @property
    def numbers(self) -> Scheme:
        """Its scheme."""
        return SCHEMES[self.scheme]

    @property
    def recipe(self) -> Recipe:
        """How its scheme is made in its format."""
        return self.numbers.recipes[self.format]

    @property
    def options(self) -> WriteOptions:
        """How it is written."""
        return WriteOptions(self.batch or self.exporter.default_batch, self.opset)

    def method(self, source: CalibrationSource) -> Method:
        """Returns how ranges follow from calibration images."""
        return source.method or self.numbers.method


def default_name(model: str, format: Format, scheme: str = BASELINE) -> str:
    """Returns the file name an artifact gets when none is given: `vit-tiny-cifar10-int8.tflite`."""
    infix = "" if scheme == BASELINE else f"-{scheme}"
    return f"{source_name(model)}{infix}{FORMATS[format].suffix}"


def check(target: Target) -> None:
    """Checks a target before time is spent on it.

    Raises:
        UsageError: If the format cannot express it, or something else lies where it should go.
        InputError: If the folder it should go to does not exist.
        EnvironmentProblem: If that folder cannot be written to.
    """
    scheme = find_scheme(target.scheme, target.format)
    if target.head_rank is not None and not scheme.few_bits:
        raise UsageError(
            f"A head of low rank changes the answers by more than {target.scheme} may. Choose a scheme of "
            "8 bits or fewer, or leave out --head-rank."
        )
    if target.batch is not None and target.batch < 1:
        raise UsageError(f"The batch must be at least 1, not {target.batch}.")
    target.exporter.check(target.options)
    check_target(target.path, folder=target.exporter.form.folder)
    beside = sidecar_path(target.path)
    if beside.is_dir():
        raise UsageError(
            f"{beside}, where the artifact's manifest goes, is a folder. Choose another --output."
        )


def main_targets(model: str, folder: Path) -> list[Target]:
    """Returns every format's float32 artifact, and the one of the default few bits where it has that."""
    return [
        Target(form, folder / default_name(model, form, scheme), scheme)
        for form in EXPORTERS
        for scheme in (BASELINE, DEFAULT_QUANTIZED)
        if form in SCHEMES[scheme].recipes
    ]


def make_folder(folder: Path) -> None:
    """Makes a folder for artifacts if it is missing.

    Raises:
        InputError: If the folder around it does not exist, or a file has its name.
        EnvironmentProblem: If it cannot be made.
    """
    if folder.is_dir():
        return
    if folder.exists() or not folder.parent.is_dir():
        raise InputError(
            f"The output folder {folder} cannot be made: "
            + ("a file has that name." if folder.exists() else f"{folder.parent} does not exist.")
        )
    try:
        folder.mkdir()
    except OSError as error:
        raise EnvironmentProblem(
            f"The folder {folder} cannot be made: {error.strerror}."
        ) from error
