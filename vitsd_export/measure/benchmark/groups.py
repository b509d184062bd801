"""Which candidates are timed side by side: all, as far as they fit into memory together."""

from collections.abc import Mapping, Sequence

from vitsd_export.measure.benchmark.results import Candidate


def group_by_memory(
    candidates: Sequence[Candidate], needs: Mapping[str, int], memory: int
) -> list[list[Candidate]]:
    """Returns groups whose needs add up to no more than the memory; a candidate stays with its peer.

    Candidates with one peer are one family, which is never split: a family that is too large is a group
    of its own.

    Args:
        candidates: A `peer` that is not among them counts for nothing.
        needs: Bytes by name.
        memory: Bytes.
    """
    families: dict[str, list[Candidate]] = {}
    homes: dict[str, str] = {}
    names = {candidate.name for candidate in candidates}
    for candidate in candidates:
        home = candidate.name
        # A peer may have a peer itself.
        peers = {one.name: one.peer for one in candidates}
        seen = {home}
        while (peer := peers[home]) is not None and peer in names and peer not in seen:
            home = peer
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
