"""An input or output as a file declares it."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class TensorInfo:
    """An input or output as a file declares it.

    Attributes:
        name: Tensor name.
        dtype: NumPy name of the element type.
        shape: Sizes; None where the size is chosen at run time.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        sizes = ", ".join("?" if size is None else str(size) for size in self.shape)
        return f"{self.name!r} {self.dtype} [{sizes}]"
