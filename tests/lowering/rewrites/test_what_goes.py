"""What each rewrite takes out of the graph, and when it is not applied."""

import dataclasses

import numpy as np
import pytest

from tests.support.float64_program import evaluate
from tests.support.lowered_graphs import KINDS, apply, before, pixels, relative_error, trained
from tests.support.numpy_reference import resize_bilinear, shifted_patches
from vitsd_export.errors import UsageError
from vitsd_export.lowering.cost import cost
from vitsd_export.lowering.graph import Graph, PatchTokenizer, WindowTokenizer
from vitsd_export.lowering.rewrites import REWRITES, rewrite
from vitsd_export.lowering.rewrites.base import NotApplied
from vitsd_export.lowering.rewrites.patch_windows import bilinear


def windows(graph: Graph) -> WindowTokenizer:
    """The tokenizer of a graph whose patches are windows."""
    assert isinstance(graph.tokenizer, WindowTokenizer)
    return graph.tokenizer


@pytest.mark.parametrize("kind", KINDS)
def test_layer_norms_lose_gamma_and_beta(kind: str) -> None:
    graph = apply("layer-norm-affine", trained(kind))
    assert isinstance(graph.tokenizer, PatchTokenizer)
    norms = [graph.tokenizer.norm]
    for block in graph.blocks:
        norms += [block.attention_norm, block.mlp_norm]
    assert not any(norm.affine for norm in norms)
    assert graph.norm.affine
    assert not apply("head-norm-affine", graph).norm.affine


def test_the_head_takes_the_last_norm_in_a_token_at_a_time() -> None:
    graph = trained("wide heads")
    assert graph.head is not None
    assert graph.norm.gamma is not None
    old, dim = graph.head.hidden[0].kernel, graph.dim
    new = apply("head-norm-affine", graph).head
    assert new is not None
    for token in range(graph.tokens):
        own = slice(token * dim, (token + 1) * dim)
        np.testing.assert_allclose(new.hidden[0].kernel[own], np.diag(graph.norm.gamma) @ old[own])


def test_a_large_kernel_stays_in_float32_and_its_bias_is_summed_in_float64() -> None:
    graph = trained("wide heads")
    assert graph.head is not None
    first = graph.head.hidden[0]
    narrow = dataclasses.replace(first, kernel=first.kernel.astype(np.float32))
    head = dataclasses.replace(graph.head, hidden=(narrow, *graph.head.hidden[1:]))
    small = apply("head-norm-affine", dataclasses.replace(graph, head=head)).head
    exact = apply("head-norm-affine", graph).head
    assert small is not None
    assert exact is not None
    assert small.hidden[0].kernel.dtype == np.float32
    np.testing.assert_array_equal(small.hidden[0].kernel, exact.hidden[0].kernel.astype(np.float32))
    np.testing.assert_allclose(small.hidden[0].bias, exact.hidden[0].bias, rtol=1e-6)


@pytest.mark.parametrize(("old", "new"), [(8, 8), (10, 16), (32, 72), (9, 4), (1, 5)])
def test_bilinear_resizing_as_a_matrix(old: int, new: int) -> None:
    image = np.random.default_rng(0).normal(size=(1, old, old, 3))
    matrix = bilinear(old, new)
    resized = np.einsum("ai,bj,nijc->nabc", matrix, matrix, image)
    np.testing.assert_allclose(resized, resize_bilinear(image, new), atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_a_window_holds_the_pixels_of_a_patch_and_its_copies(kind: str) -> None:
    graph = before("normalization", trained(kind))
    tokenizer = windows(graph)
    image = pixels(graph)[:1].astype(np.float64)
    size, count = tokenizer.input_size, tokenizer.window**2 * 3
    lines = image.reshape(size, size * 3) @ tokenizer.columns.kernel
    grid = (tokenizer.rows @ lines).reshape(
        tokenizer.grid, tokenizer.window, tokenizer.grid, tokenizer.window * 3
    )
    patches = shifted_patches(
        resize_bilinear(image, tokenizer.grid * tokenizer.patch_size), tokenizer.patch_size
    )[0]
    for token, patch in enumerate(patches):
        row, column = divmod(token, tokenizer.grid)
        window = grid[row, :, column].ravel()
        assert window.shape == (count,)
        # The weights count each pixel as often as it occurs in the patch.
        times = np.round(tokenizer.pixel_weights * patch.size).astype(int)
        np.testing.assert_allclose(np.sort(np.repeat(window, times)), np.sort(patch), atol=1e-9)


def test_windows_wait_for_the_norm_to_lose_its_affine_part() -> None:
    with pytest.raises(NotApplied, match="still has its γ and β"):
        apply("patch-windows", trained("wide heads"))


def test_normalisation_leaves_the_padding_at_zero() -> None:
    graph = apply("normalization", before("normalization", trained("wide heads")))
    columns = windows(graph).columns
    assert windows(graph).mean is None
    assert columns.bias is not None
    outside = ~columns.kernel.any(axis=0)
    assert outside.any()
    assert not columns.bias[outside].any()
    with pytest.raises(NotApplied, match="no product"):
        apply("normalization", trained("wide heads"))


def test_position_embedding_takes_the_bias() -> None:
    graph = trained("wide heads")
    rewritten = apply("position-embedding", graph).tokenizer
    assert rewritten.projection.bias is None
    assert graph.tokenizer.positions is not None
    np.testing.assert_allclose(
        rewritten.positions, graph.tokenizer.positions + graph.tokenizer.projection.bias
    )


def test_temperature_goes_and_so_does_the_keys_bias() -> None:
    for block in apply("temperature", trained("narrow heads")).blocks:
        assert block.attention.temperature == 1
        assert block.attention.key is not None
        assert block.attention.key.bias is None
        assert block.attention.query.bias is not None


def test_queries_keep_the_term_that_differs_between_columns() -> None:
    graph = before("query-key", trained("wide heads"))
    rewritten = apply("query-key", graph)
    blocks = [
        dataclasses.replace(
            block,
            attention=dataclasses.replace(
                block.attention, query=dataclasses.replace(block.attention.query, bias=None)
            ),
        )
        for block in rewritten.blocks
    ]
    without_it = dataclasses.replace(rewritten, blocks=tuple(blocks))
    images = pixels(graph)
    assert relative_error(evaluate(without_it, images), evaluate(graph, images)) > 1e-3


@pytest.mark.parametrize("name", ["query-key", "value-output"])
def test_folding_heads_saves_what_it_says_or_is_not_done(name: str) -> None:
    wide = before(name, trained("wide heads"))
    assert cost(apply(name, wide)).multiply_adds < cost(wide).multiply_adds
    narrow = before(name, trained("narrow heads"))
    with pytest.raises(NotApplied, match=r"would take \d+\.\d million"):
        apply(name, narrow)


def test_values_lose_their_bias_before_they_are_folded() -> None:
    with pytest.raises(NotApplied, match="still have their bias"):
        apply("value-output", trained("wide heads"))
    for block in apply("value-bias", trained("wide heads")).blocks:
        assert block.attention.value is not None
        assert block.attention.value.bias is None


def test_an_encoder_without_a_head_keeps_its_last_norm() -> None:
    graph = dataclasses.replace(trained("wide heads"), head=None)
    outcomes = {outcome.rewrite.name: outcome for outcome in rewrite(graph)}
    assert outcomes["head-norm-affine"].reason == "there is no head"
    images = pixels(graph)
    tokens = evaluate(outcomes[REWRITES[-1].name].graph, images)
    assert tokens.shape == (len(images), graph.tokens, graph.dim)
    assert relative_error(tokens, evaluate(graph, images)) <= 1e-9


def test_a_rewrite_that_does_not_exist_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"'qeury-key'\. Did you mean 'query-key'\?"):
        rewrite(trained("wide heads"), without=["qeury-key"])


def test_what_is_switched_off_says_so() -> None:
    outcomes = rewrite(trained("wide heads"), without=["temperature"])
    reasons = {outcome.rewrite.name: outcome.reason for outcome in outcomes if outcome.reason}
    assert reasons["temperature"] == "switched off"
