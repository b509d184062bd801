"""The handler of `Erfc`, against the error function of the standard library."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from vitsd_export._internal.tensorflow import quiet_converters
from vitsd_export.workflows.export import Export, Target

ARGUMENTS = np.array([[-7.0, -3.1, -1.0, -0.4, -1e-3, 0.0, 1e-3, 0.25, 0.9, 2.0, 3.5, 8.0]])


class Erf(OpRun):
    """`Erf` in the precision of its argument; the reference implementation rounds to float32."""

    op_domain = ""

    def _run(self, x: np.ndarray) -> tuple[np.ndarray]:
        return (np.vectorize(math.erf, otypes=[x.dtype])(x),)


def evaluate(model: onnx.ModelProto, dtype: str) -> np.ndarray:
    """What a model says of the arguments."""
    evaluator = ReferenceEvaluator(model, new_ops=[Erf])
    (answers,) = evaluator.run(None, {evaluator.input_names[0]: ARGUMENTS.astype(dtype)})
    return np.asarray(answers)


def converted(function: Callable[[Any], Any], dtype: str) -> onnx.ModelProto:
    """A TensorFlow function of one tensor in ONNX."""
    import tensorflow as tf
    import tf2onnx

    import vitsd_export.exporters.erfc  # noqa: F401  registers the handler

    signature = [tf.TensorSpec([None, ARGUMENTS.size], dtype, "x")]
    with quiet_converters():
        model, _ = tf2onnx.convert.from_function(
            tf.function(function), input_signature=signature, opset=17
        )
    onnx.checker.check_model(model, full_check=True)
    return model


def operators(model: onnx.ModelProto) -> list[str]:
    """The types of a model's nodes."""
    return [node.op_type for node in model.graph.node]


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-15), ("float32", 1e-6)])
@pytest.mark.parametrize("form", ["plain", "negated", "negated and scaled", "scaled by zero"])
def test_erfc_is_what_the_standard_library_says(form: str, dtype: str, tolerance: float) -> None:
    import tensorflow as tf

    scale = 1 / math.sqrt(2)
    functions: dict[str, tuple[Callable[[Any], Any], Callable[[float], float]]] = {
        "plain": (lambda x: tf.math.erfc(x), math.erfc),
        "negated": (lambda x: tf.math.erfc(-x), lambda x: math.erfc(-x)),
        "negated and scaled": (
            lambda x: tf.math.erfc(-x * tf.constant(scale, x.dtype)),
            lambda x: math.erfc(-x * scale),
        ),
        "scaled by zero": (
            lambda x: tf.math.erfc(-x * tf.constant(0.0, x.dtype)),
            lambda x: 1.0,
        ),
    }
    function, reference = functions[form]
    model = converted(function, dtype)
    answers = evaluate(model, dtype)
    assert answers.dtype == dtype
    expected = [[reference(x) for x in ARGUMENTS[0]]]
    np.testing.assert_allclose(answers, expected, rtol=0, atol=tolerance)

    assert operators(model).count("Erf") == 1
    # The negation is absorbed, for onnxruntime to see the pattern of GELU.
    assert "Neg" not in operators(model)
    assert ("Add" in operators(model)) == (form != "plain")
    assert ("Sub" in operators(model)) == (form == "plain")


def test_a_negation_that_others_use_too_stays() -> None:
    import tensorflow as tf

    def both(x: Any) -> Any:
        negated = -x
        return tf.math.erfc(negated) + tf.nn.relu(negated)

    answers = evaluate(converted(both, "float64"), "float64")
    expected = [[math.erfc(-x) + max(-x, 0) for x in ARGUMENTS[0]]]
    np.testing.assert_allclose(answers, expected, rtol=0, atol=1e-15)


@pytest.fixture(scope="module")
def unlowered(small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small model by way of tf2onnx."""
    target = tmp_path_factory.mktemp("erfc") / "x.onnx"
    Export(small_model, lowering=False).run(Target("onnx", target))
    return target


def test_gelu_in_an_artifact_has_the_form_that_runtimes_fuse(unlowered: Path) -> None:
    graph = onnx.load(unlowered).graph
    assert "Erfc" not in [node.op_type for node in graph.node]
    producers = {output: node for node in graph.node for output in node.output}
    readers = {name: node for node in graph.node for name in node.input}
    gelus = [node for node in graph.node if node.op_type == "Erf"]
    assert len(gelus) == 2
    for erf in gelus:
        assert readers[erf.output[0]].op_type == "Add"
        waiting = list(erf.input)
        while waiting:
            node = producers.get(waiting.pop())
            if node is not None and node.op_type in ("Neg", "Mul", "Div", "Identity", "Cast"):
                assert node.op_type != "Neg"
                waiting += node.input


def test_onnxruntime_fuses_gelu(unlowered: Path, tmp_path: Path) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(unlowered), options, providers=["CPUExecutionProvider"])
    optimized = operators(onnx.load(tmp_path / "optimized.onnx"))
    assert "Erf" not in optimized
    assert {"Gelu", "BiasGelu", "FastGelu"} & set(optimized)
