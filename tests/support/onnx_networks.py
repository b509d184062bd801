"""Small ONNX networks, and their answers by NumPy alone."""

import itertools

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

RNG = np.random.default_rng(21)
SIZE = 4
WIDTHS = (SIZE * SIZE * 3, 32, 48, 5)
KERNELS = [
    RNG.normal(0, width**-0.5, (width, following)).astype(np.float32)
    for width, following in itertools.pairwise(WIDTHS)
]
BIASES = [RNG.normal(0, 0.3, width).astype(np.float32) for width in WIDTHS[1:]]
PICTURES = RNG.integers(0, 256, (40, SIZE, SIZE, 3), dtype=np.uint8)
# Factor of the second layer's product and of its bias, as Gemm has them.
ALPHA, BETA = 0.75, 1.25


def dense_network(opset: int = 21) -> onnx.ModelProto:
    """Three dense layers with tanh between: a Gemm, a Gemm of a transposed kernel, a MatMul."""
    constants = {
        "flat": np.array([-1, WIDTHS[0]], np.int64),
        "scale": np.float32(1 / 255),
        "kernel0": KERNELS[0],
        "bias0": BIASES[0],
        "kernel1": np.ascontiguousarray(KERNELS[1].T),
        "bias1": BIASES[1],
        "kernel2": KERNELS[2],
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], "cast", to=TensorProto.FLOAT),
        helper.make_node("Mul", ["pixels", "scale"], ["scaled"], "scaling"),
        helper.make_node("Reshape", ["scaled", "flat"], ["x0"], "reshape"),
        helper.make_node("Gemm", ["x0", "kernel0", "bias0"], ["y0"], "layer0"),
        helper.make_node("Tanh", ["y0"], ["x1"], "tanh0"),
        helper.make_node(
            "Gemm", ["x1", "kernel1", "bias1"], ["y1"], "layer1", transB=1, alpha=ALPHA, beta=BETA
        ),
        helper.make_node("Tanh", ["y1"], ["x2"], "tanh1"),
        helper.make_node("MatMul", ["x2", "kernel2"], ["logits"], "layer2"),
    ]
    return _model(nodes, constants, WIDTHS[-1], opset)


def dense_answers(pictures: np.ndarray, kernels: list[np.ndarray] | None = None) -> np.ndarray:
    """What `dense_network` answers, in float64, with other kernels if they are given."""
    k0, k1, k2 = [kernel.astype(np.float64) for kernel in kernels or KERNELS]
    x = pictures.reshape(len(pictures), -1).astype(np.float64) / 255
    x = np.tanh(x @ k0 + BIASES[0])
    x = np.tanh(ALPHA * (x @ k1) + BETA * BIASES[1])
    return np.asarray(x @ k2)


def convolution_network() -> onnx.ModelProto:
    """A convolution with ReLU, the mean over the picture, and a dense layer."""
    constants = {
        "scale": np.float32(1 / 255),
        "filters": RNG.normal(0, 0.3, (8, 3, 3, 3)).astype(np.float32),
        "kernel": RNG.normal(0, 0.4, (8, 5)).astype(np.float32),
        "flat": np.array([-1, 8], np.int64),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], "cast", to=TensorProto.FLOAT),
        helper.make_node("Mul", ["pixels", "scale"], ["scaled"], "scaling"),
        helper.make_node("Transpose", ["scaled"], ["planes"], "planes", perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "filters"], ["c"], "convolution", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("GlobalAveragePool", ["r"], ["p"], "pool"),
        helper.make_node("Reshape", ["p", "flat"], ["f"], "flatten"),
        helper.make_node("Gemm", ["f", "kernel"], ["logits"], "logits"),
    ]
    return _model(nodes, constants, 5, 17)


def run(model: onnx.ModelProto, pictures: np.ndarray) -> np.ndarray:
    """What onnxruntime says of pictures."""
    import onnxruntime

    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(None, {"image": pictures})[0])


def _model(
    nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray], classes: int, opset: int
) -> onnx.ModelProto:
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ("batch", SIZE, SIZE, 3))
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ("batch", classes))
    tensors = [
        numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()
    ]
    sets = [helper.make_opsetid("", opset)]
    return helper.make_model(
        helper.make_graph(nodes, "network", [image], [logits], tensors),
        opset_imports=sets,
        ir_version=helper.find_min_ir_version_for(sets),
    )
