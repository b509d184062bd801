"""tf2onnx handler for `Erfc`, which exact GELU lowers to and tf2onnx 1.17 does not know.

TensorFlow writes GELU as x/2 · erfc(-x/√2). ONNX has Erf (opset 9), and erfc(u) = 1 - erf(u). As erf is odd,
erfc(-v) = 1 + erf(v): where the argument is a negation, this form drops it and leaves
x/2 · (1 + erf(x/√2)), the pattern that onnxruntime fuses into one Gelu.
"""

from typing import Any

import numpy as np
from tf2onnx.handler import tf_op


@tf_op("Erfc")
class Erfc:
    """Converts `Erfc` to `Erf`."""

    @classmethod
    def version_9(cls, ctx: Any, node: Any, **_: Any) -> None:
        """Rewrites one node (opset 9 and later)."""
        argument = node.input[0]
        opposite = _negated_argument(ctx, node.inputs[0])
        erf = ctx.make_node("Erf", [opposite or argument])
        one = ctx.make_const(
            name=f"{node.name}/one", np_val=np.ones((), ctx_dtype(ctx, argument))
        )
        ctx.remove_node(node.name)
        ctx.make_node(
            "Add" if opposite else "Sub",
            [one.output[0], erf.output[0]],
            name=node.name,
            outputs=node.output,
        )


def ctx_dtype(ctx: Any, tensor: str) -> Any:
    """Returns the NumPy type of a tensor in a tf2onnx graph."""
    from tf2onnx.utils import map_onnx_to_numpy_type

    return map_onnx_to_numpy_type(ctx.get_dtype(tensor))


def _negated_argument(ctx: Any, producer: Any) -> str | None:
    """Returns the tensor v if `producer` computes -v, else None."""
    if producer.type == "Neg":
        return str(producer.input[0])
    if producer.type == "Mul" and producer.inputs[0].type == "Neg":
        product = ctx.make_node("Mul", [producer.inputs[0].input[0], producer.input[1]])
        ctx.set_dtype(product.output[0], ctx.get_dtype(producer.output[0]))
        ctx.set_shape(product.output[0], ctx.get_shape(producer.output[0]))
        return str(product.output[0])
    return None
