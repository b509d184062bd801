"""The baselines: what each is called, what makes it, and where it runs."""

import dataclasses
import importlib.metadata

from vitsd_export.artifact.formats import FORMATS, LITERT, ONNX, SAVED_MODEL, ArtifactFormat

# The format of PyTorch's own files; what runs them, and how their names end.
TORCH = "torch"
TORCH_RUNTIME = "benchmarks.torch_runner:TorchRunner"
_TORCH_SUFFIX = ".pt"


@dataclasses.dataclass(frozen=True)
class Baseline:
    """A file made by another tool.

    Attributes:
        name: What tables call it.
        format: Name of its format: one of `artifact.formats.FORMATS`, or `TORCH`.
        scheme: Numeric scheme.
        maker: `module:function`, called with what it starts from, the target and the arguments.
        tool: Package that makes it, for its version.
        packages: All packages whose versions decide what is made.
        arguments: What it is called with besides.
        made_from: Name of the baseline whose file it starts from; None where that is the model.
        module: Python module that has to be there; None where the package's own dependencies do.
    """

    name: str
    format: str
    scheme: str
    maker: str
    tool: str
    packages: tuple[str, ...] = ("tensorflow", "keras")
    arguments: tuple[str, ...] = ()
    made_from: str | None = None
    module: str | None = None

    @property
    def runtime(self) -> str:
        """Where it runs."""
        return TORCH_RUNTIME if self.format == TORCH else FORMATS[self.format].runtime

    @property
    def file_name(self) -> str:
        """Name of its file or folder."""
        suffix = _TORCH_SUFFIX if self.format == TORCH else FORMATS[self.format].suffix
        return self.name.replace(" ", "-").replace(",", "") + suffix

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


def _of_keras_export(form: ArtifactFormat, argument: str, *packages: str) -> Baseline:
    return Baseline(
        f"keras export {form.slug}",
        form.name,
        "float32",
        "benchmarks.baselines.keras_export:export_keras",
        "keras",
        arguments=(argument,),
        packages=packages or ("tensorflow", "keras"),
    )


def _of_onnxruntime(function: str, scheme: str) -> Baseline:
    return Baseline(
        f"onnxruntime {function}",
        ONNX.name,
        scheme,
        "benchmarks.baselines.onnxruntime_quantizers:quantize_with_onnxruntime",
        "onnxruntime",
        arguments=(scheme,),
        packages=("onnx",),
        made_from="tf2onnx float32",
    )


def _of_tf_lite(scheme: str) -> Baseline:
    return Baseline(
        f"tf.lite {scheme}",
        LITERT.name,
        scheme,
        "benchmarks.baselines.tensorflow_lite:convert_with_tensorflow_lite",
        "tensorflow",
        arguments=(scheme,),
    )


def _of_torch(name: str, form: str, function: str, module: str) -> Baseline:
    maker = f"benchmarks.baselines.torch_files:{function}"
    return Baseline(name, form, "float32", maker, "torch", packages=_TORCH, module=module)


BASELINES = (
    Baseline(
        "tf2onnx float32",
        ONNX.name,
        "float32",
        "benchmarks.baselines.tf2onnx_file:convert_with_tf2onnx",
        "tf2onnx",
        packages=_TF2ONNX,
    ),
    _of_keras_export(ONNX, "onnx", *_TF2ONNX),
    _of_onnxruntime("quantize_dynamic", "dynamic-int8"),
    _of_onnxruntime("quantize_static", "int8"),
    _of_torch("torch.onnx float32", ONNX.name, "export_torch_onnx", "onnxscript"),
    _of_tf_lite("float32"),
    _of_tf_lite("dynamic-int8"),
    _of_tf_lite("full-int8"),
    _of_keras_export(LITERT, "litert"),
    _of_keras_export(SAVED_MODEL, "tf_saved_model"),
    _of_torch("torch float32", TORCH, "write_torch", "torch"),
)


def find_baseline(name: str) -> Baseline:
    """Returns a baseline by its name.

    Raises:
        KeyError: If there is none.
    """
    return {baseline.name: baseline for baseline in BASELINES}[name]
