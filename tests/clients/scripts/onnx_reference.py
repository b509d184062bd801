"""Answers images with ONNX's own reference implementation: FILE IMAGES ANSWERS."""

import sys

import numpy as np
from onnx.reference import ReferenceEvaluator

artifact, images, answers = sys.argv[1:]
np.save(answers, ReferenceEvaluator(artifact).run(None, {"image": np.load(images)})[0])
