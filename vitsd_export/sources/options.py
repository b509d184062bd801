"""What a user may say about a source; this module imports nothing heavy."""

from typing import Literal, TypedDict

InputRange = Literal["0-255", "0-1", "-1-1"]


class SourceOptions(TypedDict, total=False):
    """Options of loading that every command hands on.

    Attributes:
        input_range: Values the model was trained on, if it does not scale pixels itself.
        custom_objects: `module:file`, Python code with the layers that the model needs.
        trust: Whether code inside the source may be run.
    """

    input_range: InputRange | None
    custom_objects: str | None
    trust: bool


class LoadingOptions(SourceOptions, total=False):
    """All options of loading a model.

    Attributes:
        preset: Architecture of a weights file.
    """

    preset: str | None
