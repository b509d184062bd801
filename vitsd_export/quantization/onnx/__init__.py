"""Quantization of ONNX files."""
