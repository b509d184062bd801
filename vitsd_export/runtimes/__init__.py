"""One runner per runtime, all with the same face: uint8 images in, float32 answers out."""

from vitsd_export.runtimes.base import ImageRunner
from vitsd_export.runtimes.classifier import Classification, Classifier
from vitsd_export.runtimes.opening import open_runner

__all__ = ["Classification", "Classifier", "ImageRunner", "open_runner"]
