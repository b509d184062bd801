"""Writers of artifacts: SavedModel, LiteRT, ONNX, and the manifest that travels with each."""
