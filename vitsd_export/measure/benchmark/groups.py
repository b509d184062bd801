"""Which candidates are timed side by side: all, as far as they fit into memory together."""

from collections.abc import Mapping, Sequence

from vitsd_export.measure.benchmark.results import Candidate


def group_by_memory(
    candidates: Sequence[Candidate], needs: Mapping[str, int], memory: int
) -> list[list[Candidate]]:
    """Returns groups whose needs add up to no more than the memory, both in bytes.

    Candidates with one baseline are one family, which is never split: a family that is too large is a group
    of its own. A `baseline` that is not among the candidates counts for nothing.
    """
    by_name = {candidate.name: candidate for candidate in candidates}
    families: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        first = candidate
        # A baseline may have a baseline itself.
        while (baseline := by_name.get(first.baseline or "")) is not None:
            first = baseline
        families.setdefault(first.name, []).append(candidate)
    groups: list[list[Candidate]] = []
    room = 0
    for family in families.values():
        need = sum(needs[candidate.name] for candidate in family)
        if not groups or need > room:
            groups.append([])
            room = memory
        groups[-1] += family
        room -= need
    return [[candidate for candidate in candidates if candidate in group] for group in groups]
