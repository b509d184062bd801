"""Options that travel together, as dataclasses that a command takes as one parameter each."""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

from vitsd_export.cli.options import (
    CalibrationData,
    CalibrationDataDir,
    CalibrationMethod,
    CalibrationSamples,
    CalibrationSeed,
    CalibrationSplit,
    CustomObjects,
    Force,
    HeadRank,
    InputRange,
    InputType,
    KeepFloat,
    Labels,
    Lowering,
    NoRewrite,
    Output,
    OutputMeaning,
    Preset,
    Quantize,
    Scheme,
    Trust,
    Verify,
    source_options,
)
from vitsd_export.sources.options import SourceOptions


@dataclasses.dataclass(frozen=True)
class Loading:
    """How a model is loaded."""

    preset: Preset = None
    input_range: InputRange = None
    custom_objects: CustomObjects = None
    trust: Trust = False

    @property
    def options(self) -> SourceOptions:
        """What `sources` takes, without the preset."""
        return source_options(self.input_range, self.custom_objects, self.trust)


@dataclasses.dataclass(frozen=True)
class Named:
    """Where an artifact goes, and its scheme."""

    output: Output = None
    quantize: Quantize = False
    scheme: Scheme = None


@dataclasses.dataclass(frozen=True)
class Layers:
    """Layers that are treated otherwise than the scheme says."""

    keep_float: KeepFloat = None
    head_rank: HeadRank = "off"


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Where calibration images come from."""

    calibration_data: CalibrationData = "sample"
    calibration_data_dir: CalibrationDataDir = None
    calibration_split: CalibrationSplit = "train"
    calibration_samples: CalibrationSamples = 512
    calibration_seed: CalibrationSeed = 0
    calibration_method: CalibrationMethod = None
    force: Force = False


@dataclasses.dataclass(frozen=True)
class Content:
    """What an artifact takes, answers and has to prove."""

    labels: Labels = None
    answer: OutputMeaning = "probabilities"
    input: InputType = "uint8"
    verify: Verify = True
    lowering: Lowering = True
    no_rewrite: NoRewrite = None


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Lets typer see the fields of each dataclass among a command's parameters as options of their own."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, tuple[Callable[..., Any], list[str]]] = {}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        kind = hints[name]
        if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
            parameters.append(parameter.replace(annotation=kind, kind=parameter.KEYWORD_ONLY))
            continue
        options = get_type_hints(kind, include_extras=True)
        fields = dataclasses.fields(kind)
        groups[name] = (kind, [field.name for field in fields])
        parameters += (
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=field.default,
                annotation=options[field.name],
            )
            for field in fields
        )

    @functools.wraps(command)
    def run(**given: Any) -> None:
        for name, (kind, fields) in groups.items():
            given[name] = kind(**{field: given.pop(field) for field in fields})
        command(**given)

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run
