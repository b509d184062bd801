"""Answers images with OpenCV: FILE IMAGES ANSWERS."""

import sys

import cv2
import numpy as np

artifact, images, answers = sys.argv[1:]
network = cv2.dnn.readNetFromONNX(artifact)
rows = []
for image in np.load(images):
    network.setInput(image[None].astype(np.float32))
    rows.append(network.forward()[0].copy())
np.save(answers, np.stack(rows))
