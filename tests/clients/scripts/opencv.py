"""Answers images with OpenCV: FILE IMAGES ANSWERS."""

import sys

import cv2
import numpy as np

artifact, images, answers = sys.argv[1:]
network = cv2.dnn.readNetFromONNX(artifact)
# OpenCV 4 takes pixels as floats alone, OpenCV 5 as the file says.
dtype = np.float32 if cv2.__version__.startswith("4.") else np.uint8
rows = []
for image in np.load(images):
    network.setInput(image[None].astype(dtype))
    rows.append(network.forward()[0].copy())
np.save(answers, np.stack(rows))
