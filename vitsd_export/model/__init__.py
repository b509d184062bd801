"""The Keras 3 vision transformer for small datasets: configuration, layers, classifier, checkpoints."""
