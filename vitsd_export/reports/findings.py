"""What a run found, in a few sentences."""

from collections import Counter

from vitsd_export.measure.benchmark.results import Results
from vitsd_export.reports.tables import Setting, latency
from vitsd_export.reports.wording import (
    VERDICTS,
    count,
    milliseconds,
    percent,
    plain,
    setting_name,
)


def findings(results: Results, setting: Setting | None) -> list[str]:
    """Returns the sentences; those about latency are of one setting, if there is any."""
    if not results.rows:
        return ["No candidate was measured."]
    states = Counter(row.state for row in results.rows)
    parts = [f"{states[name]} {name}" for name in ("measured", "failed", "skipped") if states[name]]
    sentences = [f"{count(len(results.rows), 'candidate')}: {', '.join(parts)}."]
    measured = [row for row in results.rows if row.state == "measured"]
    timed = [(figures, row) for row in measured if setting and (figures := latency(row, setting))]
    if timed and setting:
        fastest, row = min(timed, key=lambda pair: pair[0].p50)
        sentences.append(
            f"Fastest with {setting_name(*setting)}: {plain(row.candidate.name)}, "
            f"{milliseconds(fastest.p50)}."
        )
        verdicts = Counter(figures.verdict for figures, _ in timed if figures.verdict is not None)
        if verdicts:
            words = [
                f"{verdicts[name]} {word}" for name, word in VERDICTS.items() if verdicts[name]
            ]
            sentences.append(f"Compared with their baselines: {', '.join(words)}.")
    shares = [
        (row.work.share, row)
        for row in measured
        if row.work is not None and row.work.share is not None
    ]
    if shares:
        share, row = max(shares, key=lambda pair: pair[0])
        sentences.append(
            f"Nearest to the roofline: {plain(row.candidate.name)}, {percent(share, 0)}."
        )
    agreements = [
        (row.parity.top1_agreement, row)
        for row in measured
        if row.parity and row.candidate.origin == "ours"
    ]
    if agreements:
        agreement, row = min(agreements, key=lambda pair: pair[0])
        sentences.append(
            f"Least agreement with the reference among ours: {plain(row.candidate.name)}, "
            f"{percent(agreement)}."
        )
    return sentences
