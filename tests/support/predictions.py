"""What `predict` says of pictures."""

from pathlib import Path

from vitsd_export.runtimes import open_runner
from vitsd_export.workflows.predict import predict


def predicted(artifact: Path, pictures: list[Path], top: int) -> dict[str, dict[str, float]]:
    """What the package's own reader and runner answer, all classes of each picture."""
    with open_runner(artifact) as runner:
        answers = predict(runner, pictures, top)
    return {str(answer.path): dict(answer.classes) for answer in answers}
