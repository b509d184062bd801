"""What lowering does to a model: the gain of each rewrite, and the time limit that is left."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Unpack

from vitsd_export._internal.tensorflow import use_tensorflow
from vitsd_export.measure.benchmark.machine import measure_machine
from vitsd_export.measure.benchmark.results import Speed
from vitsd_export.pretrained import DEFAULT_MODEL
from vitsd_export.sources.location import locate
from vitsd_export.sources.options import LoadingOptions


@dataclasses.dataclass(frozen=True)
class Stage:
    """A graph's cost for one image.

    Attributes:
        multiply_adds: Multiplications with an addition, in matrix products.
        weights: Numbers in its constants.
        operators: Operators that compute or move numbers.
        bytes: Bytes they read: inputs and constants, in float32.
        milliseconds: The least time the machine can take for it; see `Cost.seconds`.
    """

    multiply_adds: int
    weights: int
    operators: int
    bytes: int
    milliseconds: float

    def less(self, other: "Stage") -> "Stage":
        """Returns what this stage has more than another."""
        mine, theirs = dataclasses.astuple(self), dataclasses.astuple(other)
        return Stage(*(own - its for own, its in zip(mine, theirs, strict=True)))


@dataclasses.dataclass(frozen=True)
class Step:
    """What a rewrite did.

    Attributes:
        name: The rewrite.
        summary: What it does, in a line.
        removed: What it took out; negative where it added something.
        reason: Why it was not applied; None if it was.
    """

    name: str
    summary: str
    removed: Stage
    reason: str | None


@dataclasses.dataclass(frozen=True)
class Explanation:
    """What lowering does to a model.

    Attributes:
        model: Name or path.
        machine: Speed that the time limits are for.
        trained: Cost of the graph as trained; None if the model is not lowered.
        steps: The rewrites in their order.
        lowered: Cost of the graph after them; None if the model is not lowered.
        reason: Why the model is not lowered; None if it is.
    """

    model: str
    machine: Speed
    trained: Stage | None
    steps: tuple[Step, ...]
    lowered: Stage | None
    reason: str | None

    def to_dict(self) -> dict[str, Any]:
        """Returns plain values for JSON."""
        return dataclasses.asdict(self)


def explain_lowering(
    model: str | Path = DEFAULT_MODEL,
    *,
    without_rewrites: Sequence[str] = (),
    progress: Callable[[str], None] = lambda _: None,
    **source: Unpack[LoadingOptions],
) -> Explanation:
    """Explains the lowering of a model.

    Args:
        model: Bundled name, file, SavedModel folder, or address on the Hugging Face hub.
        without_rewrites: Names of rewrites to leave out.
        progress: Called with what is going on.
        **source: How the model is loaded.

    Raises:
        UsageError: If there is no rewrite of a name.
        InputError: If the model cannot be used.
        EnvironmentProblem: If TensorFlow is missing.
    """
    from vitsd_export.lowering.cost import cost
    from vitsd_export.lowering.rewrites import check_names, rewrite

    check_names(without_rewrites)
    location = locate(model)  # Before the seconds that TensorFlow takes.
    progress("measuring the machine")
    machine = measure_machine()
    progress("loading the model")
    use_tensorflow()
    from vitsd_export.lowering.reading import OtherArchitecture, read_graph
    from vitsd_export.sources.checkpoint import load_model

    loaded = load_model(location, **source)
    try:
        graph = read_graph(loaded.model)
    except OtherArchitecture as difference:
        return Explanation(str(model), machine, None, (), None, str(difference))

    def stage(of: Any) -> Stage:
        found = cost(of)
        milliseconds = 1e3 * found.seconds(machine.flops, machine.bandwidth)
        return Stage(found.multiply_adds, found.weights, found.operators, found.bytes, milliseconds)

    progress("applying the rewrites")
    trained = last = stage(graph)
    steps = []
    for outcome in rewrite(graph, without_rewrites):
        now = stage(outcome.graph)
        rewritten = outcome.rewrite
        steps.append(Step(rewritten.name, rewritten.summary, last.less(now), outcome.reason))
        last = now
    return Explanation(str(model), machine, trained, tuple(steps), last, None)
