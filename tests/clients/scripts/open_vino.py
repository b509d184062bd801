"""Answers images with OpenVINO: FILE IMAGES ANSWERS."""

import sys

import numpy as np
import openvino

artifact, images, answers = sys.argv[1:]
core = openvino.Core()
model = core.compile_model(core.read_model(artifact), "CPU")
np.save(answers, np.stack([model(image[None])[0][0].copy() for image in np.load(images)]))
