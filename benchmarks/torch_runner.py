"""Runs the PyTorch baseline."""

from pathlib import Path

import numpy as np

from vitsd_export.artifact.tensor_info import TensorInfo
from vitsd_export.runtimes.base import DEFAULT_BATCH_SIZE, ImageRunner


class TorchRunner(ImageRunner):
    """The PyTorch network on the CPU, eagerly, in inference mode.

    Args:
        path: A file of `benchmarks.baselines.torch_files.write_torch`.
        threads: Threads inside an operator.
        batch_size: Images in a batch.
    """

    packages = ("torch",)
    _runtime_errors = (RuntimeError,)

    def __init__(self, path: Path, *, threads: int, batch_size: int = DEFAULT_BATCH_SIZE) -> None:
        import torch

        from benchmarks.baselines.torch_files import read_torch

        torch.set_num_threads(threads)
        self._network = read_torch(path)
        shape = self._network.shape
        size = shape.input_size
        super().__init__(
            name=f"torch {torch.__version__}",
            path=path,
            manifest=None,
            inputs=(TensorInfo("image", "float32", (None, size, size, 3)),),
            outputs=(TensorInfo("logits", "float32", (None, shape.num_classes)),),
            batch_size=batch_size,
        )

    @classmethod
    def prepare(cls, threads: int) -> None:
        """Imports PyTorch and gives the process its threads."""
        import torch

        torch.set_num_threads(threads)

    def _run_batch(self, pixels: np.ndarray) -> np.ndarray:
        import torch

        with torch.inference_mode():
            return self._network(torch.from_numpy(pixels.astype(np.float32))).numpy()

    def _release(self) -> None:
        del self._network
