"""Front ends: convert models of Keras, TensorFlow, PyTorch and ONNX to float `.tflite` with each framework's own converter."""
