"""tf2onnx handler for `Erfc`, which exact GELU lowers to and tf2onnx 1.17 does not know.

TensorFlow writes GELU as x/2 · erfc(-x · 1/√2). ONNX has Erf (opset 9), and erfc(u) = 1 - erf(u). As erf
is odd, erfc(-v) = 1 + erf(v): where the argument is a negation, this form drops it and leaves
x/2 · (1 + erf(x / √2)), the pattern that onnxruntime fuses into one Gelu. It looks for a division, so
a factor becomes one.
"""

from typing import Any

import numpy as np
from tf2onnx.handler import tf_op
from tf2onnx.utils import map_onnx_to_numpy_type


@tf_op("Erfc")
class Erfc:
    """Converts `Erfc` to `Erf`."""

    @classmethod
    def version_9(cls, ctx: Any, node: Any, **_: Any) -> None:
        """Rewrites one node (opset 9 and later)."""
        argument = node.input[0]
        opposite = _negated_argument(ctx, node.inputs[0])
        erf = ctx.make_node("Erf", [opposite or argument])
        dtype = map_onnx_to_numpy_type(ctx.get_dtype(argument))
        one = ctx.make_const(name=f"{node.name}/one", np_val=np.ones((), dtype))
        ctx.remove_node(node.name)
        ctx.make_node(
            "Add" if opposite else "Sub",
            [one.output[0], erf.output[0]],
            name=node.name,
            outputs=node.output,
        )


def _negated_argument(ctx: Any, producer: Any) -> str | None:
    """Returns the tensor v if `producer` computes -v, else None."""
    if producer.type == "Neg":
        return str(producer.input[0])
    if producer.type == "Mul" and producer.inputs[0].type == "Neg":
        operator, factor = "Mul", producer.input[1]
        divisor = _reciprocal(producer.inputs[1])
        if divisor is not None:
            operator = "Div"
            factor = ctx.make_const(f"{producer.name}/divisor", divisor).output[0]
        scaled = ctx.make_node(operator, [producer.inputs[0].input[0], factor])
        ctx.set_dtype(scaled.output[0], ctx.get_dtype(producer.output[0]))
        ctx.set_shape(scaled.output[0], ctx.get_shape(producer.output[0]))
        return str(scaled.output[0])
    return None


def _reciprocal(node: Any) -> np.ndarray | None:
    """Returns 1/c if a node is the constant number c, and not 0; else None."""
    value = node.get_tensor_value(as_list=False) if node.is_const() else np.zeros(())
    return np.reciprocal(value) if value.size == 1 and value.item() != 0 else None
