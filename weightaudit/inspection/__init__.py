"""A look at a model without a verdict: tensors, layers as a tree, and single tensors in depth."""
