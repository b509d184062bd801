"""Says what is on pictures, with a LiteRT file (.tflite) and ai-edge-litert alone."""

import json
import zipfile

import numpy as np
import pictures
from ai_edge_litert.interpreter import Interpreter


class LiteRTClassifier:
    """The file in its runtime; a picture [size, size, 3] uint8 in, probabilities [classes] out."""

    def __init__(self, path: str) -> None:
        with zipfile.ZipFile(path) as extras:
            self.about = json.loads(extras.read("vitsd_export.json"))
        self.run = Interpreter(path).get_signature_runner("serving_default")
        # A file of integers answers in steps; the scale of floats is 0.
        details = self.run.get_output_details()[self.about["output"]["name"]]
        self.scale, self.zero_point = details["quantization"]

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        image, answer = self.about["input"], self.about["output"]
        # A file with a fixed batch wants that many pictures.
        batch = np.repeat(picture[None].astype(image["dtype"]), image["shape"][0] or 1, axis=0)
        output = self.run(**{image["name"]: batch})[answer["name"]][0]
        if self.scale:
            output = (output.astype(np.float32) - self.zero_point) * self.scale
        return pictures.softmax(output) if answer["meaning"] == "logits" else output


# The zip with the labels is the file's end: a file cut short is a bad zip file.
DAMAGED = (zipfile.BadZipFile, ValueError, RuntimeError)

if __name__ == "__main__":
    pictures.main(LiteRTClassifier, DAMAGED)
