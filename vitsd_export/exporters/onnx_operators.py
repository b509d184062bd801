"""The operators of a lowered model as ONNX nodes.

Every node is named by its place in the model, and the tensor that it answers by the same name:
`block3/attention/scores`. Shapes are constants, with -1 for the batch, so nothing is computed about them.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper

from vitsd_export.lowering.graph import Array, Dense, LayerNorm
from vitsd_export.lowering.operators import Operators

_LAYER_NORMALIZATION_SINCE = 17
_AXES_ARE_AN_INPUT_SINCE = 18
_GELU_SINCE = 20

# Smaller ones are not worth two operators more.
_LARGE_MASK = 1024


class OnnxOperators(Operators):
    """Collects nodes and constants.

    Attributes:
        nodes: In an order in which they can run.
        constants: Initializers by name; float32, or int64 where they are shapes.
    """

    def __init__(self, opset: int) -> None:
        """Begins an empty graph for a version of the default operator set."""
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, Array] = {}
        self._opset = opset
        self._shared: dict[tuple[Any, ...], str] = {}

    def _node(self, kind: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        full = self._scope + name
        self.nodes.append(helper.make_node(kind, inputs, [full], name=full, **attributes))
        return full

    def _weight(self, values: Array, name: str) -> str:
        full = self._scope + name
        self.constants[full] = np.asarray(values, np.float32)
        return full

    def _shared_constant(self, values: Array, name: str) -> str:
        """Returns a constant that is stored once, whoever uses it; its name is its first user's."""
        key = (values.dtype.str, values.shape, values.tobytes())
        if key not in self._shared:
            self._shared[key] = name
            self.constants[name] = values
        return self._shared[key]

    def _numbers(self, *values: int) -> str:
        return self._shared_constant(
            np.array(values, np.int64), "shapes/" + "x".join(map(str, values))
        )

    def _operand(self, y: Any, name: str) -> str:
        if isinstance(y, str):
            return y
        values = np.asarray(y, np.float32)
        if values.size >= _LARGE_MASK and not (mask := values != 0).all():
            return self._mask(values, mask, f"{name}/constant")
        return self._shared_constant(values, f"{self._scope}{name}/constant")

    def _mask(self, values: Array, mask: Array, name: str) -> str:
        """Returns a constant that is zero or one other value, which takes a byte a number in the file.

        Runtimes make floats of it once, when they load the file.
        """
        value = values[mask][:1].sum()
        full = self._scope + name
        if not np.array_equal(values, mask * value):
            return self._shared_constant(values, full)
        key = ("mask", float(value), mask.shape, mask.tobytes())
        if key not in self._shared:
            # Signed: OpenCV 4 subtracts 128 from unsigned constants.
            self.constants[f"{full}/mask"] = mask.astype(np.int8)
            cast = self._node("Cast", [f"{full}/mask"], f"{name}/cast", to=TensorProto.FLOAT)
            factor = self._shared_constant(np.asarray(value), f"{full}/value")
            self._shared[key] = self._node("Mul", [cast, factor], name)
        return self._shared[key]

    def pixels(self, image: str, name: str) -> str:
        return self._node("Cast", [image], name, to=TensorProto.FLOAT)

    def dense(self, x: str, layer: Dense, name: str) -> str:
        kernel = self._weight(layer.kernel, f"{name}/kernel")
        if layer.bias is None:
            return self._node("MatMul", [x, kernel], name)
        return self._node("Gemm", [x, kernel, self._weight(layer.bias, f"{name}/bias")], name)

    def apply_left(self, matrix: Array, x: str, name: str) -> str:
        return self._node("MatMul", [self._weight(matrix, f"{name}/matrix"), x], name)

    def product(self, x: str, y: str, name: str, *, transpose_y: bool = False) -> str:
        if transpose_y:
            # onnxruntime fuses the two into one product.
            y = self.transpose(y, (0, 2, 1), f"{name}/transposed")
        return self._node("MatMul", [x, y], name)

    def add(self, x: str, y: Any, name: str) -> str:
        return self._node("Add", [x, self._operand(y, name)], name)

    def subtract(self, x: str, y: Any, name: str) -> str:
        return self._node("Sub", [x, self._operand(y, name)], name)

    def multiply(self, x: str, y: Any, name: str) -> str:
        return self._node("Mul", [x, self._operand(y, name)], name)

    def divide_by_root(self, x: str, square: str, name: str) -> str:
        return self._node("Div", [x, self._node("Sqrt", [square], f"{name}/root")], name)

    def layer_norm(self, x: str, layer: LayerNorm, width: int, name: str) -> str:
        gamma = np.ones(width) if layer.gamma is None else layer.gamma
        beta = np.zeros(width) if layer.beta is None else layer.beta
        if self._opset >= _LAYER_NORMALIZATION_SINCE:
            # ONNX lets the bias be left out, but onnxruntime before 1.19 aborts without one.
            inputs = [
                x,
                self._operand(gamma, f"{name}/gamma"),
                self._operand(beta, f"{name}/beta"),
            ]
            epsilon = layer.epsilon
            return self._node("LayerNormalization", inputs, name, axis=-1, epsilon=epsilon)
        # The pattern that onnxruntime fuses, which ends in a product and a sum.
        centred = self.subtract(
            x, self._reduce_mean(x, -1, f"{name}/mean", keepdims=1), f"{name}/centred"
        )
        two = self._operand(np.array(2.0), f"{name}/two")
        square = self._node("Pow", [centred, two], f"{name}/square")
        variance = self._reduce_mean(square, -1, f"{name}/variance", keepdims=1)
        variance = self.add(variance, np.array(layer.epsilon), f"{name}/variance_and_epsilon")
        y = self.divide_by_root(centred, variance, f"{name}/normalized")
        return self.add(self.multiply(y, gamma, f"{name}/scaled"), beta, name)

    def _reduce_mean(self, x: str, axis: int, name: str, keepdims: int) -> str:
        if self._opset >= _AXES_ARE_AN_INPUT_SINCE:
            return self._node("ReduceMean", [x, self._numbers(axis)], name, keepdims=keepdims)
        return self._node("ReduceMean", [x], name, axes=[axis], keepdims=keepdims)

    def gelu(self, x: str, name: str) -> str:
        if self._opset >= _GELU_SINCE:
            return self._node("Gelu", [x], name)
        # x/√2, erf, + 1, · x, · 1/2: the pattern that onnxruntime fuses.
        root = self._operand(np.array(math.sqrt(2)), f"{name}/root_of_two")
        one = self._operand(np.array(1.0), f"{name}/one")
        half = self._operand(np.array(0.5), f"{name}/half")
        erf = self._node("Erf", [self._node("Div", [x, root], f"{name}/scaled")], f"{name}/erf")
        share = self._node("Add", [erf, one], f"{name}/twice_share")
        return self._node("Mul", [self._node("Mul", [x, share], f"{name}/twice"), half], name)

    def softmax(self, x: str, name: str) -> str:
        return self._node("Softmax", [x], name, axis=-1)

    def mean(self, x: str, axis: int, name: str) -> str:
        return self._reduce_mean(x, axis, name, keepdims=0)

    def reshape(self, x: str, shape: Sequence[int], name: str) -> str:
        return self._node("Reshape", [x, self._numbers(*shape)], name)

    def transpose(self, x: str, order: Sequence[int], name: str) -> str:
        return self._node("Transpose", [x], name, perm=list(order))

    def shifted_copies(self, x: str, by: int, name: str) -> str:
        copies = [x]
        for move, (up, left) in zip(
            ("up_left", "down_left", "up_right", "down_right"),
            ((True, True), (False, True), (True, False), (False, False)),
            strict=True,
        ):
            # A negative padding cuts off.
            rows = (-by, by) if up else (by, -by)
            columns = (-by, by) if left else (by, -by)
            pads = self._numbers(0, rows[0], columns[0], 0, 0, rows[1], columns[1], 0)
            copies.append(self._node("Pad", [x, pads], f"{name}/{move}"))
        return self._node("Concat", copies, name, axis=3)

    def resize(self, x: str, old: int, new: int, name: str) -> str:
        how = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
        if self._opset >= _AXES_ARE_AN_INPUT_SINCE:
            inputs = [x, "", "", self._numbers(new, new)]
            return self._node("Resize", inputs, name, axes=[1, 2], **how)
        # A little more, because the size is rounded down.
        factor = np.nextafter(np.float32(new / old), np.float32(np.inf))
        scales = self._operand(np.array([1, factor, factor, 1]), f"{name}/scales")
        return self._node("Resize", [x, "", scales], name, **how)
