"""The engine that computes statistics with TensorFlow. Importing this does not import TensorFlow."""
