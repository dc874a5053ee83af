"""The layer classes of Keras: their names of all times, and how Keras writes them into paths."""

from __future__ import annotations

import re
from functools import cache, lru_cache

_OLD_NAMES = {
    "AtrousConvolution1D": "Conv1D",
    "AtrousConvolution2D": "Conv2D",
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "Convolution1D": "Conv1D",
    "Convolution1DTranspose": "Conv1DTranspose",
    "Convolution2D": "Conv2D",
    "Convolution2DTranspose": "Conv2DTranspose",
    "Convolution3D": "Conv3D",
    "Convolution3DTranspose": "Conv3DTranspose",
    "Deconvolution2D": "Conv2DTranspose",
    "Deconvolution3D": "Conv3DTranspose",
    "GRUV1": "GRU",
    "GRUV2": "GRU",
    "GroupedQueryAttention": "GroupQueryAttention",
    "LSTMV1": "LSTM",
    "LSTMV2": "LSTM",
    "SeparableConvolution1D": "SeparableConv1D",
    "SeparableConvolution2D": "SeparableConv2D",
    "TimeDistributedDense": "Dense",
}

# fmt: off
STATELESS = frozenset({
    "Activation", "ActivityRegularization", "Add", "AlphaDropout", "Average", "AveragePooling1D",
    "AveragePooling2D", "AveragePooling3D", "CategoryEncoding", "CenterCrop", "Concatenate",
    "Cropping1D", "Cropping2D", "Cropping3D", "Discretization", "Dot", "Dropout", "ELU", "Flatten",
    "GaussianDropout", "GaussianNoise", "GlobalAveragePooling1D", "GlobalAveragePooling2D",
    "GlobalAveragePooling3D", "GlobalMaxPooling1D", "GlobalMaxPooling2D", "GlobalMaxPooling3D",
    "Identity", "InputLayer", "LeakyReLU", "Masking", "Maximum", "MaxPooling1D", "MaxPooling2D",
    "MaxPooling3D", "Minimum", "Multiply", "Permute", "ReLU", "RepeatVector", "Rescaling", "Reshape",
    "Resizing", "Softmax", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "Subtract",
    "ThresholdedReLU", "UnitNormalization", "UpSampling1D", "UpSampling2D", "UpSampling3D",
    "ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D",
})
"""Classes without variables."""

WITHOUT_WEIGHTS = STATELESS | frozenset({
    "AdaptiveAveragePooling1D", "AdaptiveAveragePooling2D", "AdaptiveAveragePooling3D",
    "AdaptiveMaxPooling1D", "AdaptiveMaxPooling2D", "AdaptiveMaxPooling3D", "AugMix", "AutoContrast",
    "ClassMethod", "ContrastLimitedAdaptiveHistogramEqualization", "CutMix",
    "Equalization", "HashedCrossing", "Hashing", "InstanceMethod", "InstanceProperty", "IntegerLookup",
    "Lambda", "MaxNumBoundingBoxes", "MelSpectrogram", "Merge", "MixUp", "RandAugment",
    "RandomBrightness", "RandomColorDegeneration", "RandomColorJitter", "RandomContrast", "RandomCrop",
    "RandomElasticTransform", "RandomErasing", "RandomFlip", "RandomGaussianBlur", "RandomGrayscale",
    "RandomHeight", "RandomHue", "RandomInvert", "RandomPerspective", "RandomPosterization",
    "RandomRotation", "RandomSaturation", "RandomSharpness", "RandomShear", "RandomTranslation",
    "RandomWidth", "RandomZoom", "SlicingOpLambda", "Solarization", "StringLookup", "TFOpLambda",
    "TensorFlowOpLayer", "TextVectorization",
})
"""Classes of Keras without weights: those, and others of which nothing else is known. Some keep a seed."""

COMPOSITE = frozenset({
    "Bidirectional", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D", "Functional", "GRU",
    "GroupQueryAttention", "LSTM", "Model", "MultiHeadAttention", "RNN", "Sequential", "SimpleRNN",
    "StackedRNNCells", "TFSMLayer", "TimeDistributed", "Wrapper",
})
"""Classes whose variables belong to layers inside them."""

_WITH_VARIABLES = frozenset({
    "AdditiveAttention", "Attention", "BatchNormalization", "ConvLSTMCell", "Conv1D", "Conv1DTranspose",
    "Conv2D", "Conv2DTranspose", "Conv3D", "Conv3DTranspose", "CuDNNGRU", "CuDNNLSTM", "Dense",
    "DepthwiseConv1D", "DepthwiseConv2D", "EinsumDense", "Embedding", "GRUCell", "GroupNormalization",
    "LSTMCell", "LayerNormalization", "LocallyConnected1D", "LocallyConnected2D", "Normalization",
    "PReLU", "RMSNormalization", "ReversibleEmbedding", "STFTSpectrogram", "SeparableConv1D",
    "SeparableConv2D", "SimpleRNNCell", "SpectralNormalization", "SyncBatchNormalization",
})
# fmt: on


def canonical(layer_class: str) -> str:
    """Return today's public name of a layer class: ``Convolution2D`` gives ``Conv2D``."""
    return _OLD_NAMES.get(layer_class, layer_class)


@lru_cache(maxsize=1024)
def snake(name: str) -> str:
    """Return a class name as Keras writes it into paths: ``Conv2DTranspose`` gives ``conv2d_transpose``."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


@cache
def _by_snake() -> dict[str, str]:
    return {snake(name): name for name in (*_WITH_VARIABLES, *COMPOSITE, *WITHOUT_WEIGHTS)} | {
        "grouped_query_attention": "GroupQueryAttention",
        "conv_lstm_cell": "ConvLSTMCell",
        **{snake(old): new for old, new in _OLD_NAMES.items()},
        # Keras 1 wrote automatic names without underscores between words.
        **{name.lower(): name for name in _WITH_VARIABLES},
    }


def class_of_path(component: str) -> str:
    """Return the class that an automatic layer name tells: ``dense_3`` gives ``Dense``, else empty."""
    return _by_snake().get(component.rstrip("_0123456789"), "")


def kind_of_name(component: str) -> str:
    """Return a name that tells what an automatic layer name tells: ``dense_0`` for ``dense_3``.

    Models have many layers and few kinds of them, so what is found out about a kind can be kept. The
    name keeps a number if it has one: ``query`` may be a projection, and ``query_1`` is not.
    """
    return f"{component.rstrip('_0123456789')}_0" if component[-1:].isdigit() else component


def path_name(layer_class: str) -> str:
    """Return the component by which Keras 3 addresses a layer of this class in a file."""
    python_name = "GroupedQueryAttention" if layer_class == "GroupQueryAttention" else layer_class
    return snake(python_name.rsplit(">", 1)[-1])
