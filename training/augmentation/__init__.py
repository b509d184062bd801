"""Random changes to training images, drawn for each image on its own.

Two halves. What is random is drawn on the host in NumPy, a few numbers an image, for an epoch at a time
(`draws`); it depends on the seed and the epoch alone, not on backend or devices. What is heavy is a
function of pixels and these numbers, in `keras.ops`, and runs within the compiled training step.
"""
