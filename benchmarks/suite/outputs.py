"""The files of a run."""

from collections.abc import Callable
from pathlib import Path

from vitsd_export.errors import EnvironmentProblem
from vitsd_export.measure.benchmark.results import Results, write_results

RESULTS_FILE = "results.json"


def write_outputs(
    results: Results, folder: Path, progress: Callable[[str], None] = lambda _: None
) -> None:
    """Writes results.json, report.md, index.html, and PNGs where matplotlib is installed.

    Raises:
        EnvironmentProblem: If the folder cannot be written.
    """
    from vitsd_export.reports.markdown import write_markdown
    from vitsd_export.reports.page import write_page
    from vitsd_export.reports.plots import write_plots

    write_results(results, folder / RESULTS_FILE)
    write_markdown(results, folder / "report.md")
    write_page(results, folder / "index.html")
    try:
        write_plots(results, folder)
    except EnvironmentProblem as error:
        # The page has the plots as well.
        progress(str(error))
