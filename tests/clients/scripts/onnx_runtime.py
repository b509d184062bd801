"""Answers images with onnxruntime: FILE IMAGES ANSWERS."""

import sys

import numpy as np
import onnxruntime

artifact, images, answers = sys.argv[1:]
session = onnxruntime.InferenceSession(artifact, providers=["CPUExecutionProvider"])
np.save(answers, session.run(None, {"image": np.load(images)})[0])
