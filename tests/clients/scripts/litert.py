"""Answers images with LiteRT or the older tflite-runtime: FILE IMAGES ANSWERS."""

import sys

import numpy as np

try:
    from ai_edge_litert.interpreter import Interpreter
except ImportError:
    from tflite_runtime.interpreter import Interpreter

artifact, images, answers = sys.argv[1:]
interpreter = Interpreter(model_path=artifact)
interpreter.allocate_tensors()
image, answer = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
scale, zero_point = answer["quantization"]
rows = []
for pixels in np.load(images):
    interpreter.set_tensor(image["index"], pixels[None])
    interpreter.invoke()
    row = interpreter.get_tensor(answer["index"])[0].astype(np.float32)
    rows.append((row - zero_point) * scale if scale else row)
np.save(answers, np.stack(rows))
