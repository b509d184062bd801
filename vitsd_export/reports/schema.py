"""The committed description of `results.json`: `python -m vitsd_export.reports.schema FILE` writes it."""

import json
import sys
from pathlib import Path

from vitsd_export.measure.benchmark.results import json_schema


def schema_text() -> str:
    """Returns the JSON schema of the results as it is committed."""
    return json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(schema_text(), "utf-8")
