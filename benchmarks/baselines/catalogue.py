"""The baselines: what each is called, what makes it, and where it runs."""

import dataclasses
import importlib.metadata
from typing import Literal

Format = Literal["onnx", "tflite", "saved_model", "keras", "torch"]
TORCH_RUNTIME = "benchmarks.torch_runner:TorchRunner"
SUFFIXES: dict[Format, str] = {
    "onnx": ".onnx",
    "tflite": ".tflite",
    "saved_model": "-saved-model",
    "keras": ".keras",
    "torch": ".pt",
}


@dataclasses.dataclass(frozen=True)
class Baseline:
    """A file made by another tool.

    Attributes:
        name: What tables call it.
        format: Its format.
        scheme: Numeric scheme.
        maker: `module:function`, called with what it starts from, the target and the arguments.
        arguments: What it is called with besides.
        tool: Package that makes it, for its version.
        packages: All packages whose versions decide what is made.
        runtime: Where it runs.
        made_from: Name of the baseline whose file it starts from; None where that is the model.
        module: Python module that has to be there; None where the package's own dependencies do.
    """

    name: str
    format: Format
    scheme: str
    maker: str
    tool: str
    runtime: str
    packages: tuple[str, ...] = ("tensorflow", "keras")
    arguments: tuple[str, ...] = ()
    made_from: str | None = None
    module: str | None = None

    @property
    def file_name(self) -> str:
        """Name of its file or folder."""
        return self.name.replace(" ", "-").replace(",", "") + SUFFIXES[self.format]

    @property
    def made_by(self) -> str:
        """What makes it, with the version."""
        return f"{self.tool} {installed_version(self.tool)}"

    def versions(self) -> dict[str, str]:
        """Returns the versions of all that decides what is made."""
        return {name: installed_version(name) for name in (*self.packages, self.tool)}


def installed_version(package: str) -> str:
    """Returns the version of a package, or `missing`."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


_TF2ONNX = ("tensorflow", "keras", "onnx", "tf2onnx")
_TORCH = ("torch", "onnxscript", "onnx")
_KERAS_EXPORT = "benchmarks.baselines.keras_export:export_keras"
_TF_LITE = "benchmarks.baselines.tensorflow_lite:convert_with_tensorflow_lite"
_QUANTIZERS = "benchmarks.baselines.onnxruntime_quantizers:quantize_with_onnxruntime"

BASELINES = (
    Baseline(
        name="tf2onnx float32",
        format="onnx",
        scheme="float32",
        maker="benchmarks.baselines.tf2onnx_file:convert_with_tf2onnx",
        tool="tf2onnx",
        packages=_TF2ONNX,
        runtime="onnxruntime",
    ),
    Baseline(
        name="keras export onnx",
        format="onnx",
        scheme="float32",
        maker=_KERAS_EXPORT,
        arguments=("onnx",),
        tool="keras",
        packages=_TF2ONNX,
        runtime="onnxruntime",
    ),
    Baseline(
        name="onnxruntime quantize_dynamic",
        format="onnx",
        scheme="dynamic-int8",
        maker=_QUANTIZERS,
        arguments=("dynamic-int8",),
        tool="onnxruntime",
        packages=("onnx",),
        made_from="tf2onnx float32",
        runtime="onnxruntime",
    ),
    Baseline(
        name="onnxruntime quantize_static",
        format="onnx",
        scheme="int8",
        maker=_QUANTIZERS,
        arguments=("int8",),
        tool="onnxruntime",
        packages=("onnx",),
        made_from="tf2onnx float32",
        runtime="onnxruntime",
    ),
    Baseline(
        name="torch.onnx float32",
        format="onnx",
        scheme="float32",
        maker="benchmarks.baselines.torch_files:export_torch_onnx",
        tool="torch",
        packages=_TORCH,
        runtime="onnxruntime",
        module="onnxscript",
    ),
    Baseline(
        name="tf.lite float32",
        format="tflite",
        scheme="float32",
        maker=_TF_LITE,
        arguments=("float32",),
        tool="tensorflow",
        runtime="litert",
    ),
    Baseline(
        name="tf.lite dynamic-int8",
        format="tflite",
        scheme="dynamic-int8",
        maker=_TF_LITE,
        arguments=("dynamic-int8",),
        tool="tensorflow",
        runtime="litert",
    ),
    Baseline(
        name="tf.lite full-int8",
        format="tflite",
        scheme="full-int8",
        maker=_TF_LITE,
        arguments=("full-int8",),
        tool="tensorflow",
        runtime="litert",
    ),
    Baseline(
        name="keras export litert",
        format="tflite",
        scheme="float32",
        maker=_KERAS_EXPORT,
        arguments=("litert",),
        tool="keras",
        runtime="litert",
    ),
    Baseline(
        name="keras export saved-model",
        format="saved_model",
        scheme="float32",
        maker=_KERAS_EXPORT,
        arguments=("tf_saved_model",),
        tool="keras",
        runtime="saved_model",
    ),
    Baseline(
        name="torch float32",
        format="torch",
        scheme="float32",
        maker="benchmarks.baselines.torch_files:write_torch",
        tool="torch",
        packages=_TORCH,
        runtime=TORCH_RUNTIME,
        module="torch",
    ),
)


def find_baseline(name: str) -> Baseline:
    """Returns a baseline by its name.

    Raises:
        KeyError: If there is none.
    """
    return {baseline.name: baseline for baseline in BASELINES}[name]
