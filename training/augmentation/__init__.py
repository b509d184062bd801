"""Random changes to training images, drawn for each image on its own.

What is random is drawn for an epoch at a time (`draws`), a few numbers an image; it depends on the seed and
the epoch alone. What is heavy is a function of pixels and these numbers (`pipeline`). Both are NumPy.
"""
