"""By which operators an inference graph is computed, in whatever runtime.

Tokens are rows of a matrix [batch · tokens, dim], so that every dense layer is one matrix product with
its bias. Only within attention, where an image's tokens meet, is the batch an axis of its own.
"""

import numpy as np

from vitsd_export.lowering.graph import (
    Attention,
    Dense,
    Graph,
    Head,
    LowRankDense,
    PatchTokenizer,
    WindowTokenizer,
)
from vitsd_export.lowering.operators import Operators, Tensor, column

# Finite, and so far below every score that its exponential is zero in float32; the value that the
# trained model masks with.
_MASKED = -1e9

# Everything the tokenizer does before its projection has constants of geometry, which are no weights:
# whoever stores weights in fewer bits leaves the operators of this scope alone.
GEOMETRY_SCOPE = "tokenizer/windows"


def compute(graph: Graph, operators: Operators, image: Tensor, answer: str) -> Tensor:
    """Computes a graph.

    Args:
        graph: What to compute.
        operators: The runtime's operators.
        image: [batch, size, size, 3].
        answer: Name of the result.

    Returns:
        Logits or probabilities [batch, classes]; tokens [batch, tokens, dim] without a head.
    """
    ops = operators
    with ops.scope("tokenizer"):
        if isinstance(graph.tokenizer, PatchTokenizer):
            x = _patch_tokens(graph.tokenizer, ops, image)
        else:
            x = _window_tokens(graph.tokenizer, ops, image)
    for index, block in enumerate(graph.blocks):
        with ops.scope(f"block{index}"):
            h = ops.layer_norm(x, block.attention_norm, graph.dim, "attention_norm")
            with ops.scope("attention"):
                h = _attend(block.attention, graph.tokens, ops, h)
            x = ops.add(x, h, "attention_add")
            h = ops.layer_norm(x, block.mlp_norm, graph.dim, "mlp_norm")
            with ops.scope("mlp"):
                for number, layer in enumerate(block.mlp):
                    h = ops.dense(h, layer, f"dense{number}")
                    h = ops.gelu(h, f"gelu{number}")
            x = ops.add(x, h, "mlp_add")
    x = ops.layer_norm(x, graph.norm, graph.dim, "norm")
    if graph.head is None:
        return ops.reshape(x, (-1, graph.tokens, graph.dim), answer)
    return classify(graph, graph.head, ops, x, answer)


def classify(graph: Graph, head: Head, operators: Operators, tokens: Tensor, answer: str) -> Tensor:
    """Computes what comes after the last norm.

    Args:
        graph: The graph of the tokens.
        head: What to compute of them.
        operators: The runtime's operators.
        tokens: [batch · tokens, dim], or [batch, tokens, dim].
        answer: Name of the result, logits or probabilities [batch, classes].
    """
    ops = operators
    with ops.scope("head"):
        x = _hidden(head, graph.tokens, graph.dim, ops, tokens)
    if not graph.softmax:
        return ops.dense(x, head.logits, answer)
    return ops.softmax(ops.dense(x, head.logits, "logits"), answer)


def _patch_tokens(tokenizer: PatchTokenizer, ops: Operators, image: Tensor) -> Tensor:
    patch, grid, size = tokenizer.patch_size, tokenizer.grid, tokenizer.image_size
    x = ops.pixels(image, "pixels")
    x = ops.subtract(x, tokenizer.mean, "centred")
    x = ops.multiply(x, 1 / tokenizer.deviation, "normalized")
    if size != tokenizer.input_size:
        x = ops.resize(x, tokenizer.input_size, size, "resized")
    x = ops.shifted_copies(x, patch // 2, "copies")
    line = patch * 5 * 3
    x = ops.reshape(x, (-1, grid, patch, grid, line), "grid")
    x = ops.transpose(x, (0, 1, 3, 2, 4), "patches")
    x = ops.reshape(x, (-1, patch * line), "rows")
    x = ops.layer_norm(x, tokenizer.norm, patch * line, "norm")
    x = ops.dense(x, tokenizer.projection, "projection")
    return _add_positions(tokenizer, ops, x)


def _window_tokens(tokenizer: WindowTokenizer, ops: Operators, image: Tensor) -> Tensor:
    size, grid, window = tokenizer.input_size, tokenizer.grid, tokenizer.window
    shares = tokenizer.pixel_weights
    with ops.scope("windows"):
        x = ops.pixels(image, "pixels")
        if tokenizer.mean is not None:
            x = ops.subtract(x, tokenizer.mean, "centred_pixels")
        if tokenizer.deviation is not None:
            x = ops.multiply(x, 1 / tokenizer.deviation, "normalized_pixels")
        x = ops.reshape(x, (-1, size * 3), "lines")
        x = ops.dense(x, tokenizer.columns, "columns")
        x = ops.reshape(x, (-1, size, grid * window * 3), "images")
        x = ops.apply_left(tokenizer.rows, x, "rows")
        x = ops.reshape(x, (-1, grid, window, grid, window * 3), "grid")
        x = ops.transpose(x, (0, 1, 3, 2, 4), "by_window")
        x = ops.reshape(x, (-1, window * window * 3), "flat")
        # The mean is taken away before squares are summed and before the projection: the mean of squares
        # less the square of the mean would leave nothing but rounding of a patch of one colour.
        x = ops.subtract(x, ops.dense(x, column(shares), "mean"), "centred")
        square = ops.multiply(x, x, "square")
        variance = ops.dense(square, column(shares, tokenizer.epsilon), "variance")
        x = ops.divide_by_root(x, variance, "normalized")
    x = ops.dense(x, tokenizer.projection, "projection")
    return _add_positions(tokenizer, ops, x)


def _add_positions(
    tokenizer: PatchTokenizer | WindowTokenizer, ops: Operators, x: Tensor
) -> Tensor:
    if tokenizer.positions is None:
        return x
    tokens, dim = tokenizer.positions.shape
    x = ops.reshape(x, (-1, tokens, dim), "images")
    x = ops.add(x, tokenizer.positions, "positions")
    return ops.reshape(x, (-1, dim), "tokens")


def _attend(attention: Attention, tokens: int, ops: Operators, x: Tensor) -> Tensor:
    if attention.key is None and attention.value is None:
        mixed = _attend_to_tokens(attention, tokens, ops, x)
    else:
        mixed = _attend_by_head(attention, tokens, ops, x)
    return ops.dense(mixed, attention.output, "output")


def _attend_to_tokens(attention: Attention, tokens: int, ops: Operators, x: Tensor) -> Tensor:
    """Attention whose keys and values are the tokens, for all heads at once and without a transposition.

    A token's queries of all heads are rows one below the other, [tokens · heads, dim]. So are its answers,
    which are columns side by side when the same numbers are read as [tokens, heads · dim].
    """
    heads, dim = attention.heads, attention.query.kernel.shape[0]
    query = ops.dense(x, attention.query, "query")
    query = ops.reshape(query, (-1, tokens * heads, dim), "queries")
    x = ops.reshape(x, (-1, tokens, dim), "tokens")
    scores = ops.product(query, x, "scores", transpose_y=True)
    diagonal = np.repeat(np.eye(tokens), heads, axis=0)
    weights = _masked_softmax(attention, scores, diagonal, ops)
    mixed = ops.product(weights, x, "mixed")
    return ops.reshape(mixed, (-1, heads * dim), "heads")


def _attend_by_head(attention: Attention, tokens: int, ops: Operators, x: Tensor) -> Tensor:
    """Attention with the heads as an axis before the tokens."""
    heads, dim = attention.heads, attention.query.kernel.shape[0]
    query = _heads(attention.query, heads, tokens, ops, x, "query")
    shared = None
    if attention.key is None or attention.value is None:
        shared = ops.reshape(x, (-1, tokens, dim), "tokens")
    if attention.key is not None:
        key = _heads(attention.key, heads, tokens, ops, x, "key")
        scores = ops.product(query, key, "scores", transpose_y=True)
    else:
        query = ops.reshape(query, (-1, heads * tokens, dim), "queries")
        scores = ops.product(query, shared, "scores_of_all_heads", transpose_y=True)
        scores = ops.reshape(scores, (-1, tokens, tokens), "scores")
    weights = _masked_softmax(attention, scores, np.eye(tokens), ops)
    if attention.value is not None:
        value = _heads(attention.value, heads, tokens, ops, x, "value")
        mixed = ops.product(weights, value, "mixed")
    else:
        weights = ops.reshape(weights, (-1, heads * tokens, tokens), "weights_of_all_heads")
        mixed = ops.product(weights, shared, "mixed")
    width = attention.output.kernel.shape[0] // heads
    mixed = ops.reshape(mixed, (-1, heads, tokens, width), "mixed_by_head")
    mixed = ops.transpose(mixed, (0, 2, 1, 3), "mixed_by_token")
    return ops.reshape(mixed, (-1, heads * width), "heads")


def _heads(layer: Dense, heads: int, tokens: int, ops: Operators, x: Tensor, name: str) -> Tensor:
    """Returns a layer's answer as [batch · heads, tokens, width]."""
    width = layer.kernel.shape[1] // heads
    x = ops.dense(x, layer, name)
    x = ops.reshape(x, (-1, tokens, heads, width), f"{name}_by_token")
    x = ops.transpose(x, (0, 2, 1, 3), f"{name}_by_head")
    return ops.reshape(x, (-1, tokens, width), f"{name}_of_heads")


def _masked_softmax(
    attention: Attention, scores: Tensor, diagonal: np.ndarray, ops: Operators
) -> Tensor:
    if attention.temperature != 1:
        factor = np.array(1 / attention.temperature)
        scores = ops.multiply(scores, factor, "tempered_scores")
    scores = ops.add(scores, diagonal * _MASKED, "masked_scores")
    return ops.softmax(scores, "weights")


def _hidden(head: Head, tokens: int, dim: int, ops: Operators, x: Tensor) -> Tensor:
    if head.pooling == "flatten":
        x = ops.reshape(x, (-1, tokens * dim), "flatten")
    else:
        x = ops.mean(ops.reshape(x, (-1, tokens, dim), "images"), 1, "mean")
    for number, layer in enumerate(head.hidden):
        if isinstance(layer, LowRankDense):
            x = ops.dense(x, layer.reduction, f"dense{number}/reduced")
            layer = layer.expansion
        x = ops.dense(x, layer, f"dense{number}")
        x = ops.gelu(x, f"gelu{number}")
    return x
