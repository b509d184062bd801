"""Images to calibrate, verify and train with: CIFAR, image folders, bundled samples.

Import the submodules: this package imports none of them, so that it stays free of pyarrow and
pillow.
"""
