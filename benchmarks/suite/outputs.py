"""The files of a run."""

from collections.abc import Callable
from pathlib import Path

from vitsd_export.errors import EnvironmentProblem
from vitsd_export.measure.benchmark.results import Results, write_results

RESULTS_FILE = "results.json"


def write_outputs(
    results: Results, folder: Path, report: Callable[[str], None] = lambda _: None
) -> None:
    """Writes results.json, report.md, index.html, and PNGs where matplotlib is installed.

    Args:
        results: The run.
        folder: Where they go; it exists.
        report: Told what could not be drawn.

    Raises:
        EnvironmentProblem: If the folder cannot be written.
    """
    from vitsd_export.reports.markdown import to_markdown
    from vitsd_export.reports.page import write_page
    from vitsd_export.reports.plots import write_plots

    try:
        write_results(results, folder / RESULTS_FILE)
        (folder / "report.md").write_text(to_markdown(results), encoding="utf-8")
        write_page(results, folder / "index.html")
    except OSError as error:
        raise EnvironmentProblem(
            f"The results cannot be written to {folder}: {error.strerror}. Choose another --output."
        ) from error
    try:
        write_plots(results, folder)
    except EnvironmentProblem as error:
        # The page has the plots as well.
        report(str(error))
