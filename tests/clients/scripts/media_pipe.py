"""Answers images with MediaPipe's image classifier: FILE IMAGES ANSWERS.

It fails if the class names are not those of the file's labels.txt.
"""

import sys
import zipfile

import mediapipe
import numpy as np
from mediapipe.tasks import python as tasks
from mediapipe.tasks.python import vision

artifact, images, answers = sys.argv[1:]
labels = zipfile.ZipFile(artifact).read("labels.txt").decode().splitlines()
options = vision.ImageClassifierOptions(base_options=tasks.BaseOptions(model_asset_path=artifact))
rows = []
with vision.ImageClassifier.create_from_options(options) as classifier:
    for pixels in np.load(images):
        image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels)
        found = classifier.classify(image).classifications[0].categories
        row = np.zeros(len(labels), np.float32)
        for category in found:
            if category.category_name != labels[category.index]:
                sys.exit(f"class {category.index} is called {category.category_name}")
            row[category.index] = category.score
        rows.append(row)
np.save(answers, np.stack(rows))
