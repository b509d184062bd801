"""Opening an artifact of any format in the runtime it is made for."""

from pathlib import Path

from vitsd_export.artifact.format_detection import detect_format, proven_by_manifest
from vitsd_export.errors import EnvironmentProblem, UsageError
from vitsd_export.runtimes.base import DEFAULT_BATCH_SIZE, ImageRunner


def open_runner(
    path: Path | str,
    *,
    threads: int | None = None,
    batch_size: int = DEFAULT_BATCH_SIZE,
    trusted: bool = False,
) -> ImageRunner:
    """Opens an artifact: SavedModel folder, LiteRT file or ONNX file, told apart by content.

    Args:
        path: The artifact.
        threads: Threads of the runtime; its own choice when None. TensorFlow's threads belong to
            the process, so a SavedModel does not heed it.
        batch_size: Images in a batch where the artifact's batch dimension is dynamic.
        trusted: Leaves out the search for damage (digest of the manifest beside it; for LiteRT
            without one, a trial in a process of its own). For a file this process has just written.

    Returns:
        A runner, to be closed after use or used in a `with` block.

    Raises:
        InputError: If the artifact is missing, truncated, damaged, or not a classifier of square
            RGB images.
        UsageError: If `threads` or `batch_size` is below 1.
        EnvironmentProblem: If the runtime's package is not installed.
    """
    path = Path(path)
    if threads is not None and threads < 1:
        raise UsageError(f"The number of threads must be at least 1, not {threads}.")
    kind = detect_format(path)
    try:
        if kind == "saved_model":
            from vitsd_export.runtimes.saved_model_runner import SavedModelRunner

            return SavedModelRunner(path, batch_size=batch_size)
        if kind == "tflite":
            from vitsd_export.artifact.litert_file import check_litert_file
            from vitsd_export.runtimes.litert_runner import LiteRTRunner

            if not trusted:
                check_litert_file(path)
            return LiteRTRunner(path, threads=threads, batch_size=batch_size)
        from vitsd_export.runtimes.onnxruntime_runner import OnnxRuntimeRunner

        if not trusted:
            proven_by_manifest(path)
        return OnnxRuntimeRunner(path, threads=threads, batch_size=batch_size)
    except ImportError as error:
        raise EnvironmentProblem(
            f"{path} needs a package that cannot be imported ({error}). Install it, or reinstall "
            "vitsd-export with its dependencies."
        ) from error
