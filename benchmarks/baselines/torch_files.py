"""Files of the PyTorch network: its own, and what torch.onnx makes of it.

The network is compared with Keras before either is written.
"""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.baselines.inputs import load_keras
from vitsd_export.errors import VerificationError

if TYPE_CHECKING:
    from benchmarks.baselines.torch_network import Classifier

# Of probabilities; what a float32 artifact of ours must hold.
TOLERANCE = 1e-4
_CHECKED_IMAGES = 64


def write_torch(source: str, target: Path) -> None:
    """Writes the network with its hyperparameters, as `torch.save` does; see `equal_network`."""
    import torch

    network = equal_network(source)
    document = {"shape": dataclasses.asdict(network.shape), "weights": network.state_dict()}
    torch.save(document, target)


def read_torch(path: Path) -> "Classifier":
    """Reads what `write_torch` wrote, in inference mode."""
    import torch

    from benchmarks.baselines.torch_network import Classifier, Shape

    document = torch.load(path, weights_only=True)
    network = Classifier(Shape(**document["shape"]))
    network.load_state_dict(document["weights"])
    return network.eval().requires_grad_(False)


def export_torch_onnx(source: str, target: Path) -> None:
    """Writes what `torch.onnx.export` makes of the network, with an open batch; see `equal_network`."""
    import torch

    network = equal_network(source)
    size = network.shape.input_size
    torch.onnx.export(
        network,
        (torch.zeros(2, size, size, 3),),
        target,
        input_names=["image"],
        output_names=["logits"],
        dynamic_shapes={"image": {0: torch.export.Dim("batch")}},
        dynamo=True,
        external_data=False,
        verbose=False,
    )


def equal_network(source: str) -> "Classifier":
    """Returns the PyTorch network of a Keras model once it has answered as that does.

    Raises:
        InputError: If the model is of another architecture.
        VerificationError: If a probability differs by more than `TOLERANCE`.
    """
    import torch

    from benchmarks.baselines.torch_weights import copy_to_torch
    from vitsd_export.data.sources import load_images
    from vitsd_export.runtimes.base import softmax

    model = load_keras(source).model
    network = copy_to_torch(model)
    size = network.shape.input_size
    images = load_images("sample", split="test", size=size).images[:_CHECKED_IMAGES]
    pixels = images.astype(np.float32)
    expected = softmax(np.asarray(model(pixels, training=False)))
    answers = softmax(network(torch.from_numpy(pixels)).numpy())
    difference = float(np.abs(expected - answers).max())
    if not difference <= TOLERANCE:
        raise VerificationError(
            f"The PyTorch network's probabilities differ from Keras's by {difference:.1e}, which is "
            f"more than {TOLERANCE:.0e}: it is not the same network, so it is not measured."
        )
    return network
