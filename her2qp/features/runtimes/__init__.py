"""Ways to run one network: eager PyTorch, compiled PyTorch, ONNX Runtime, OpenVINO.

Every runtime takes batches of one fixed size (so that a tile's features do not depend on how many tiles came with
it) and must reproduce eager PyTorch: the largest absolute difference on a probe batch, divided by the root mean
square of the eager features, may be at most :data:`~her2qp.features.runtimes.probe.TOLERANCE`.
"""
