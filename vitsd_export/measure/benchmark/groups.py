"""Which candidates are timed side by side: all, as far as they fit into memory together."""

from collections.abc import Mapping, Sequence

from vitsd_export.measure.benchmark.results import Candidate


def group_by_memory(
    candidates: Sequence[Candidate], needs: Mapping[str, int], memory: int
) -> list[list[Candidate]]:
    """Returns groups whose needs add up to no more than the memory; a candidate stays with its baseline.

    Candidates with one baseline are one family, which is never split: a family that is too large is a group
    of its own.

    Args:
        candidates: A `baseline` that is not among them counts for nothing.
        needs: Bytes by name.
        memory: Bytes.
    """
    families: dict[str, list[Candidate]] = {}
    homes: dict[str, str] = {}
    names = {candidate.name for candidate in candidates}
    for candidate in candidates:
        home = candidate.name
        # A baseline may have a baseline itself.
        baselines = {one.name: one.baseline for one in candidates}
        seen = {home}
        while (
            (baseline := baselines[home]) is not None and baseline in names and baseline not in seen
        ):
            home = baseline
            seen.add(home)
        homes[candidate.name] = home
    for candidate in candidates:
        families.setdefault(homes[candidate.name], []).append(candidate)
    groups: list[list[Candidate]] = []
    room = 0
    for family in families.values():
        need = sum(needs[candidate.name] for candidate in family)
        if not groups or need > room:
            groups.append([])
            room = memory
        groups[-1] += family
        room -= need
    order = {candidate.name: place for place, candidate in enumerate(candidates)}
    return [sorted(group, key=lambda candidate: order[candidate.name]) for group in groups]
