"""Locality self-attention in the form that trains fastest: projections of each head multiplied together.

The same function of the same variables as `LocalitySelfAttention`; only the order of the products differs.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from vitsd_export.model.config import ModelConfig
from vitsd_export.model.layers import LocalitySelfAttention


def attention_layer(config: ModelConfig) -> type[LocalitySelfAttention]:
    """Returns the attention layer that trains a model with the fewest multiply-adds.

    Folded, a head costs 2·dim² multiply-adds a token in place of 4·dim·key_dim.
    """
    return FoldedSelfAttention if 2 * config.key_dim >= config.dim else LocalitySelfAttention


class FoldedSelfAttention(LocalitySelfAttention):
    """Locality self-attention without splitting heads.

    For tokens X [tokens, dim] and one head with W_q, W_k, W_v [dim, key_dim] and W_o [key_dim, dim]:

        (X W_q + b_q)(X W_k + b_k)ᵀ / τ = (X M + c) Xᵀ + what is constant along a row,

    with M = W_q W_kᵀ / τ and c = b_q W_kᵀ / τ. Softmax ignores constants of a row, so b_k has no influence
    and its gradient is zero. Likewise the rows of softmax's answer P sum to one, so that

        P (X W_v + b_v) W_o = P X V + b_v W_o   with   V = W_v W_o.

    All heads' scores are one product [tokens·heads, dim] × [dim, tokens], their outputs one product with
    [heads·dim, dim]. M, c and V are computed in float32 in every step, from the variables of
    `LocalitySelfAttention`, which receive their gradients through them. (With dropout on the attention
    weights, rows no longer sum to one; the plain layer scales b_v W_o by that sum, whose expectation is one.)

    Input and output: [batch, tokens, dim] float.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Variables stay float32 within `call`, in mixed precision, too.
        super().__init__(*args, autocast=False, **kwargs)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        super().build(input_shape)
        self._row_mask = np.repeat(self._mask, self.num_heads, axis=0)

    def _heads(self, projection: keras.layers.Dense) -> Any:
        return ops.reshape(projection.kernel, (-1, self.num_heads, self.key_dim))

    def call(self, tokens: Any, training: bool | None = False) -> Any:
        dtype = self.compute_dtype
        count, dim = tokens.shape[1:]
        heads = self.num_heads
        tokens = ops.cast(tokens, dtype)

        key = self._heads(self.key) / self.tau
        m = ops.einsum("dhk,ehk->dhe", self._heads(self.query), key)
        c = ops.einsum("hk,ehk->he", ops.reshape(self.query.bias, (heads, self.key_dim)), key)
        output = ops.reshape(self.projection.kernel, (heads, self.key_dim, dim))
        v = ops.einsum("dhk,hke->hde", self._heads(self.value), output)
        bias = self.projection.bias + ops.matmul(self.value.bias, self.projection.kernel)

        queries = ops.matmul(tokens, ops.cast(ops.reshape(m, (dim, heads * dim)), dtype))
        queries = queries + ops.cast(ops.reshape(c, (heads * dim,)), dtype)
        queries = ops.reshape(queries, (-1, count * heads, dim))
        scores = ops.matmul(queries, ops.transpose(tokens, (0, 2, 1)))
        weights = ops.softmax(scores + ops.cast(self._row_mask, dtype), axis=-1)
        if self.weights_dropout is not None:
            weights = self.weights_dropout(weights, training=training)
        mixed = ops.reshape(ops.matmul(weights, tokens), (-1, count, heads * dim))
        mixed = ops.matmul(mixed, ops.cast(ops.reshape(v, (heads * dim, dim)), dtype))
        return mixed + ops.cast(bias, dtype)
