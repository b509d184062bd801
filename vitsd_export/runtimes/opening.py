"""Opening an artifact of any format in the runtime it is made for."""

from pathlib import Path

from vitsd_export.artifact.format_detection import find_format
from vitsd_export.errors import EnvironmentProblem, UsageError
from vitsd_export.runtimes.base import DEFAULT_BATCH_SIZE, ImageRunner
from vitsd_export.runtimes.registry import find_runner


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
            the process, so a SavedModel ignores it.
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
    form = find_format(path)
    try:
        runner = find_runner(form.runtime)
        if not trusted:
            form.check(path)
        return runner.open(path, threads=threads, batch_size=batch_size)
    except ImportError as error:
        raise EnvironmentProblem(
            f"{path} needs a package that cannot be imported ({error}). Install it, or reinstall "
            "vitsd-export with its dependencies."
        ) from error
