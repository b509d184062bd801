"""Says what is on pictures, with an ONNX file and onnxruntime alone."""

import json

import numpy as np
import onnxruntime
import pictures
from onnxruntime.capi import onnxruntime_pybind11_state as state


class OnnxClassifier:
    """The file in its runtime; a picture [size, size, 3] uint8 in, probabilities [classes] out."""

    def __init__(self, path: str) -> None:
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        metadata = self.session.get_modelmeta().custom_metadata_map
        self.about = json.loads(metadata["vitsd_export"])

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        image, answer = self.about["input"], self.about["output"]
        # A file with a fixed batch wants that many pictures.
        batch = np.repeat(picture[None].astype(image["dtype"]), image["shape"][0] or 1, axis=0)
        output = self.session.run([answer["name"]], {image["name"]: batch})[0][0]
        return pictures.softmax(output) if answer["meaning"] == "logits" else output


# onnxruntime's exceptions have no base of their own.
DAMAGED = (
    state.Fail,
    state.InvalidArgument,
    state.InvalidGraph,
    state.InvalidProtobuf,
    state.NotImplemented,
    state.RuntimeException,
)

if __name__ == "__main__":
    pictures.main(OnnxClassifier, DAMAGED)
