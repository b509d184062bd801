"""Normalisation of the pixels goes into the tokenizer.

With mean μ and deviation σ of each channel, the windows of the normalised image z = (x - μ) / σ are
A z Aᵀ (see `patch_windows`), and for a row of pixels x with all its channels the right factor gives

    ((x - μ) / σ) C = x (diag(1/σ) C) - (μ/σ) C:

C's rows are divided by σ, and -(μ/σ) C is a bias. Where a window leaves the image the columns of C are zero,
and so is the bias: padding stays zero in the normalised image, as it was trained.
"""

import dataclasses

import numpy as np

from vitsd_export.lowering.graph import Dense, Graph, PatchTokenizer
from vitsd_export.lowering.rewrites.base import NotApplied

NAME = "normalization"
SUMMARY = "normalisation of the pixels goes into the tokenizer's first product"


def apply(graph: Graph) -> Graph:
    """Rewrites the tokenizer.

    Raises:
        NotApplied: If it does not work on windows, or normalises nothing.
    """
    tokenizer = graph.tokenizer
    if isinstance(tokenizer, PatchTokenizer):
        raise NotApplied("the tokenizer has no product that could take it in")
    if tokenizer.mean is None or tokenizer.deviation is None:
        raise NotApplied("the pixels are not normalised")
    columns = tokenizer.columns
    repeats = tokenizer.input_size
    deviation = np.tile(tokenizer.deviation, repeats)
    kernel = columns.kernel / deviation[:, None]
    bias = -np.tile(tokenizer.mean, repeats) @ kernel
    if columns.bias is not None:
        bias = bias + columns.bias
    rewritten = dataclasses.replace(
        tokenizer, mean=None, deviation=None, columns=Dense(kernel, bias)
    )
    return dataclasses.replace(graph, tokenizer=rewritten)
