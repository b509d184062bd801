"""What really ran a graph, as its runtime tells it."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Delegation:
    """What really ran the graph, read back from the runtime.

    Attributes:
        provider: `XNNPACK delegate`, `CPUExecutionProvider`, `LiteRT kernels`, …
        partitions: Parts of the graph that the provider took.
        delegated: Operators in these.
        operators: Operators of the whole graph as it runs, a delegated part counted with all of its own.
        note: What else there is to say, such as operators that fell back.
    """

    provider: str
    partitions: int | None
    delegated: int | None
    operators: int | None
    note: str = ""


def list_counts(counts: dict[str, int], most: int = 6) -> str:
    """Returns counts as text, such as `SOFTMAX ×8, BATCH_MATMUL ×16`, the first few of them."""
    text = ", ".join(f"{name} ×{count}" for name, count in list(counts.items())[:most])
    return text + (", …" if len(counts) > most else "")
