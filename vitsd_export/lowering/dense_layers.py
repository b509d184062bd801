"""The dense layers of a graph, by the names that `program` gives their operators."""

import dataclasses
from collections.abc import Callable

from vitsd_export.lowering.graph import Block, Dense, Graph, Head, LowRankDense

Change = Callable[[str, Dense], Dense]


def map_dense(graph: Graph, change: Change) -> Graph:
    """Returns a graph with other dense layers.

    `change` returns what replaces a layer, given the name of its operator and itself. It is called in the
    order in which the layers are computed; the geometry of a lowered tokenizer is left out.
    """
    tokenizer = graph.tokenizer
    projection = change("tokenizer/projection", tokenizer.projection)
    return dataclasses.replace(
        graph,
        tokenizer=dataclasses.replace(tokenizer, projection=projection),
        blocks=tuple(
            _map_block(block, f"block{index}", change) for index, block in enumerate(graph.blocks)
        ),
        head=None if graph.head is None else _map_head(graph.head, change),
    )


def dense_layers(graph: Graph) -> dict[str, Dense]:
    """Returns the layers that `map_dense` changes, by name."""
    layers: dict[str, Dense] = {}

    def note(name: str, layer: Dense) -> Dense:
        layers[name] = layer
        return layer

    map_dense(graph, note)
    return layers


def _map_block(block: Block, scope: str, change: Change) -> Block:
    attention = block.attention

    def change_optional(name: str, layer: Dense | None) -> Dense | None:
        return None if layer is None else change(f"{scope}/attention/{name}", layer)

    return dataclasses.replace(
        block,
        attention=dataclasses.replace(
            attention,
            query=change(f"{scope}/attention/query", attention.query),
            key=change_optional("key", attention.key),
            value=change_optional("value", attention.value),
            output=change(f"{scope}/attention/output", attention.output),
        ),
        mlp=tuple(
            change(f"{scope}/mlp/dense{number}", layer) for number, layer in enumerate(block.mlp)
        ),
    )


def _map_head(head: Head, change: Change) -> Head:
    hidden: list[Dense | LowRankDense] = []
    for number, layer in enumerate(head.hidden):
        name = f"head/dense{number}"
        if isinstance(layer, LowRankDense):
            reduction = change(f"{name}/reduced", layer.reduction)
            hidden.append(LowRankDense(reduction, change(name, layer.expansion)))
        else:
            hidden.append(change(name, layer))
    return dataclasses.replace(head, hidden=tuple(hidden), logits=change("logits", head.logits))
