"""Files written past protobuf, read by protobuf."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from vitsd_export.errors import InputError
from vitsd_export.exporters.onnx_file import append_metadata, write_model

WEIGHTS = {
    "größe": np.random.default_rng(0).normal(size=(300, 70)).astype(np.float32),
    "half": np.random.default_rng(1).normal(size=(70, 5)).astype(np.float16),
}


def small_model() -> onnx.ModelProto:
    """x · größe · half + bias, without its two kernels."""
    bias = numpy_helper.from_array(np.arange(5, dtype=np.float32), "bias")
    nodes = [
        helper.make_node("MatMul", ["x", "größe"], ["h"]),
        helper.make_node("Cast", ["half"], ["whole"], to=TensorProto.FLOAT),
        helper.make_node("Gemm", ["h", "whole", "bias"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("batch", 300))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("batch", 5))],
        [bias],
    )
    sets = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=sets, ir_version=8, producer_name="somebody")


def test_it_is_the_file_that_protobuf_would_have_written(tmp_path: Path) -> None:
    write_model(small_model(), WEIGHTS, tmp_path / "x.onnx")
    whole = small_model()
    whole.graph.initializer.extend(
        numpy_helper.from_array(values, name) for name, values in WEIGHTS.items()
    )
    written = onnx.load(tmp_path / "x.onnx")
    onnx.checker.check_model(written, full_check=True)
    assert written == whole
    assert (tmp_path / "x.onnx").stat().st_size == whole.ByteSize()


def test_arrays_that_are_views_keep_their_order(tmp_path: Path) -> None:
    turned = {**WEIGHTS, "größe": np.ascontiguousarray(WEIGHTS["größe"].T).T}
    assert not turned["größe"].flags.c_contiguous
    write_model(small_model(), turned, tmp_path / "x.onnx")
    stored = {t.name: t for t in onnx.load(tmp_path / "x.onnx").graph.initializer}
    np.testing.assert_array_equal(numpy_helper.to_array(stored["größe"]), WEIGHTS["größe"])


def test_metadata_is_appended(tmp_path: Path) -> None:
    path = tmp_path / "x.onnx"
    write_model(small_model(), WEIGHTS, path)
    before = onnx.load(path)
    append_metadata(path, {"labels": "Äpfel\nBirnen", "other": "x" * 1000})
    after = onnx.load(path)
    assert {entry.key: entry.value for entry in after.metadata_props} == {
        "labels": "Äpfel\nBirnen",
        "other": "x" * 1000,
    }
    assert after.graph == before.graph


def test_an_invalid_graph_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    narrow = {**WEIGHTS, "größe": WEIGHTS["größe"][:, :60]}
    with pytest.raises(InputError, match="invalid ONNX graph"):
        write_model(small_model(), narrow, tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_file_beyond_the_limit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vitsd_export.exporters.onnx_file._LIMIT", 50_000)
    with pytest.raises(InputError, match="2 GB"):
        write_model(small_model(), WEIGHTS, tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []
