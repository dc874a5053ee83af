"""Small models of every kind of layer, for today's Keras and for tf_keras."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Build = Callable[[Any], Any]
"""From the ``keras`` or ``tf_keras`` module to a built model."""

BOTH: dict[str, Build] = {}
"""Models that either generation of Keras builds."""
KERAS3: dict[str, Build] = {}
"""Models of layers that only Keras 3 has."""
LEGACY: dict[str, Build] = {}
"""Models of layers that only tf_keras has."""


def registered_in(table: dict[str, Build]) -> Callable[[Build], Build]:
    """Return a decorator that puts a model's builder into a table, by its name."""

    def register(build: Build) -> Build:
        table[build.__name__] = build
        return build

    return register


@registered_in(BOTH)
def convolutions(keras: Any) -> Any:
    """Plain convolutions and dense layers, each with something declared."""
    layers, rules = keras.layers, keras.constraints
    rows, image, volume = keras.Input((9, 3)), keras.Input((9, 9, 3)), keras.Input((5, 5, 5, 2))
    ends = [
        layers.Conv1D(4, 3, kernel_constraint=rules.MaxNorm(2.0, axis=[0, 1]))(rows),
        layers.Conv2D(6, 3, groups=3, kernel_initializer="he_normal", bias_constraint="non_neg")(image),
        layers.Conv2D(4, 3, use_bias=False, kernel_regularizer=keras.regularizers.L2(1e-3))(image),
        layers.Conv3D(2, 3, bias_initializer="ones")(volume),
    ]
    flat = [layers.Flatten()(end) for end in ends]
    joined = layers.Concatenate()(flat)
    hidden = layers.Dense(5, name="fc", kernel_constraint=rules.UnitNorm(axis=0))(joined)
    out = layers.Dense(2, bias_regularizer=keras.regularizers.L1(0.1))(hidden)
    return keras.Model([rows, image, volume], out)


@registered_in(BOTH)
def separable(keras: Any) -> Any:
    """Depthwise, separable and transposed convolutions."""
    layers, rules = keras.layers, keras.constraints
    rows, image, volume = keras.Input((9, 3)), keras.Input((9, 9, 3)), keras.Input((4, 4, 4, 2))
    limit = rules.MinMaxNorm(0.1, 2.0)
    ends = [
        layers.DepthwiseConv1D(3, depthwise_constraint=limit)(rows),
        layers.SeparableConv1D(4, 3, pointwise_constraint=limit)(rows),
        layers.Conv1DTranspose(4, 3, strides=2, kernel_constraint=limit)(rows),
        layers.DepthwiseConv2D(3, depth_multiplier=2, depthwise_constraint=limit)(image),
        layers.SeparableConv2D(4, 3, depthwise_constraint=limit, use_bias=False)(image),
        layers.Conv2DTranspose(4, 3, strides=2, bias_constraint="non_neg")(image),
        layers.Conv3DTranspose(3, 2, kernel_initializer="orthogonal")(volume),
    ]
    return keras.Model([rows, image, volume], layers.Concatenate()([layers.Flatten()(end) for end in ends]))


@registered_in(BOTH)
def normalizations(keras: Any) -> Any:
    """Every normalization with and without its optional variables."""
    layers = keras.layers
    image = keras.Input((4, 4, 6))
    x = layers.BatchNormalization(gamma_constraint="non_neg", beta_regularizer="l2")(image)
    x = layers.BatchNormalization(scale=False)(x)
    x = layers.BatchNormalization(center=False)(x)
    x = layers.BatchNormalization(center=False, scale=False)(x)
    x = layers.BatchNormalization(renorm=True)(x)
    x = layers.LayerNormalization(beta_constraint="non_neg")(x)
    x = layers.LayerNormalization(scale=False)(x)
    x = layers.LayerNormalization(center=False)(x)
    x = layers.GroupNormalization(groups=2)(x)
    x = layers.GroupNormalization(groups=2, center=False)(x)
    x = layers.PReLU(alpha_constraint="non_neg")(x)
    x = layers.Normalization()(x)
    x = layers.Normalization(mean=0.5, variance=2.0)(x)
    return keras.Model(image, x)


@registered_in(BOTH)
def recurrent(keras: Any) -> Any:
    """Recurrent layers, their wrappers, and embeddings."""
    layers, rules = keras.layers, keras.constraints
    words, clips = keras.Input((7,), dtype="int32"), keras.Input((3, 5, 5, 2))
    x = layers.Embedding(11, 6, embeddings_constraint=rules.UnitNorm(axis=1))(words)
    limit = rules.MaxNorm(3.0)
    x = layers.LSTM(4, return_sequences=True, recurrent_constraint=limit)(x)
    x = layers.GRU(4, return_sequences=True, kernel_constraint=limit)(x)
    x = layers.GRU(3, return_sequences=True, reset_after=False, use_bias=False)(x)
    x = layers.SimpleRNN(4, return_sequences=True, bias_constraint="non_neg")(x)
    x = layers.Bidirectional(layers.LSTM(3, return_sequences=True, kernel_constraint=limit))(x)
    back = layers.GRU(2, return_sequences=True, go_backwards=True, name="back")
    x = layers.Bidirectional(layers.LSTM(2, return_sequences=True), backward_layer=back)(x)
    x = layers.RNN([layers.LSTMCell(3), layers.GRUCell(4)], return_sequences=True)(x)
    x = layers.RNN(layers.SimpleRNNCell(5), return_sequences=True)(x)
    x = layers.TimeDistributed(layers.Dense(3, kernel_constraint=limit))(x)
    y = layers.ConvLSTM2D(2, 2, recurrent_constraint=limit)(clips)
    return keras.Model([words, clips], [x, y])


@registered_in(BOTH)
def attention(keras: Any) -> Any:
    """Attention layers and their projections."""
    layers = keras.layers
    x = keras.Input((6, 8))
    y = layers.MultiHeadAttention(2, 4, kernel_constraint="non_neg")(x, x)
    y = layers.MultiHeadAttention(2, 4, value_dim=3, use_bias=False, name="mha")(y, y)
    y = layers.EinsumDense("abc,cd->abd", output_shape=(None, 5), bias_axes="d")(y)
    y = layers.EinsumDense("abc,cd->abd", output_shape=(None, 8), kernel_constraint="unit_norm")(y)
    z = layers.Attention(use_scale=True)([x, y])
    z = layers.Attention(score_mode="concat")([x, z])
    z = layers.AdditiveAttention()([x, z])
    return keras.Model(x, layers.AdditiveAttention(use_scale=False)([x, z]))


@registered_in(BOTH)
def spectral(keras: Any) -> Any:
    """Spectral normalization around a dense layer and around a convolution."""
    layers = keras.layers
    image = keras.Input((6, 6, 3))
    x = layers.SpectralNormalization(layers.Conv2D(4, 3, kernel_constraint="non_neg"))(image)
    x = layers.SpectralNormalization(layers.Dense(5, name="inner"))(x)
    return keras.Model(image, x)


@registered_in(BOTH)
def nested(keras: Any) -> Any:
    """Models in models: functional, sequential and shared ones."""
    layers = keras.layers
    inside = keras.Input((5,), name="inside")
    encoder = keras.Model(inside, layers.Dense(4, kernel_constraint="non_neg")(inside), name="encoder")
    head = keras.Sequential([keras.Input((4,)), layers.Dense(4), layers.BatchNormalization()], name="head")
    late = keras.Sequential([layers.Dense(3, name="a"), layers.Dense(2, name="b")], name="late")
    left, right = keras.Input((5,)), keras.Input((5,))
    shared = layers.Dense(5, name="shared", bias_constraint="non_neg")
    both = layers.Add()([encoder(shared(left)), encoder(shared(right))])
    return keras.Model([left, right], late(head(both)), name="outer")


@registered_in(BOTH)
def frozen(keras: Any) -> Any:
    """A frozen layer, and a frozen model with a batch normalization."""
    layers = keras.layers
    base = keras.Sequential([keras.Input((4,)), layers.Dense(4), layers.BatchNormalization()], name="base")
    base.trainable = False
    stem = layers.Dense(4, name="stem", trainable=False)
    return keras.Sequential([keras.Input((3,)), stem, base, layers.Dense(2, name="top")])


@registered_in(BOTH)
def unnamed_input(keras: Any) -> Any:
    """A sequential model whose first call tells the shape."""
    layers = keras.layers
    model = keras.Sequential([layers.Dense(4), layers.Dropout(0.5), layers.Dense(2, name="out")], name="seq")
    model.build((None, 3))
    return model


def _scaled(keras: Any) -> Any:
    class Scaled(keras.layers.Layer):  # type: ignore[misc]
        """A layer of a user with variables, a layer inside, and a declared constraint."""

        def __init__(self, units: int = 3, kernel_constraint: Any = None, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.units = units
            self.kernel_constraint = keras.constraints.get(kernel_constraint)
            self.inner = keras.layers.Dense(units, kernel_constraint="non_neg")

        def build(self, shape: Any) -> None:
            self.offset = self.add_weight(name="offset", shape=(1,), trainable=False, initializer="zeros")
            self.kernel = self.add_weight(
                name="kernel",
                shape=(int(shape[-1]), self.units),
                initializer="ones",
                constraint=self.kernel_constraint,
            )

        def call(self, x: Any) -> Any:
            return self.inner((x + self.offset) @ self.kernel)

        def get_config(self) -> dict[str, Any]:
            limit = keras.constraints.serialize(self.kernel_constraint)
            return {**super().get_config(), "units": self.units, "kernel_constraint": limit}

    return Scaled


@registered_in(BOTH)
def custom(keras: Any) -> Any:
    """Layers of a user, beside built-in ones, in a functional model."""
    scaled = _scaled(keras)
    x = keras.Input((4,))
    y = scaled(3, kernel_constraint=keras.constraints.MaxNorm(2.0))(x)
    return keras.Model(x, keras.layers.Dense(2, kernel_constraint="non_neg")(y))


@registered_in(BOTH)
def subclassed(keras: Any) -> Any:
    """A subclassed model that holds layers by attributes, lists, nested lists and dicts."""
    layers = keras.layers

    class Net(keras.Model):  # type: ignore[misc]
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.body = keras.Sequential([layers.Dense(4, name="b0"), layers.Dense(4)], name="body")
            self.norm = layers.BatchNormalization()
            self.blocks = [layers.Dense(4, kernel_constraint="non_neg") for _ in range(2)]
            self.grid = [[layers.Dense(4)], [layers.Dense(4)]]
            self.heads = {"a": layers.Dense(2, name="head_a"), "b": layers.Dense(3, name="head_b")}
            self.zout = layers.Dense(2)

        def call(self, x: Any) -> Any:
            x = self.norm(self.body(x))
            for block in (*self.blocks, *self.grid[0], *self.grid[1]):
                x = block(x)
            return self.heads["a"](x) + self.zout(x), self.heads["b"](x)

    model = Net(name="net")
    model(keras.ops.ones((1, 3)) if hasattr(keras, "ops") else __import__("tensorflow").ones((1, 3)))
    return model


@registered_in(BOTH)
def seeds(keras: Any) -> Any:
    """Layers with random state between layers with weights."""
    layers = keras.layers
    x = keras.Input((6,))
    y = layers.GaussianNoise(0.1)(layers.Dropout(0.3, seed=3)(layers.Dense(4)(x)))
    return keras.Model(x, layers.Dense(2)(layers.GaussianDropout(0.2)(y)))


def _compiled(keras: Any, optimizer: Any) -> Any:
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((3,)), layers.Dense(4), layers.BatchNormalization(), layers.Dense(2, use_bias=False)]
    )
    model.compile(optimizer, "mse")
    model.optimizer.build(model.trainable_variables)
    return model


_OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "adam": lambda o: o.Adam(),
    "adam_ema": lambda o: o.Adam(use_ema=True),
    "adam_amsgrad": lambda o: o.AdamW(amsgrad=True),
    "sgd_ema": lambda o: o.SGD(momentum=0.9, use_ema=True),
    "sgd_only_ema": lambda o: o.SGD(use_ema=True),
    "sgd_momentum": lambda o: o.SGD(momentum=0.9),
    "rmsprop": lambda o: o.RMSprop(centered=True, momentum=0.5),
    "adagrad": lambda o: o.Adagrad(),
    "adadelta": lambda o: o.Adadelta(),
    "adamax": lambda o: o.Adamax(),
    "nadam": lambda o: o.Nadam(),
    "ftrl": lambda o: o.Ftrl(),
    "lion": lambda o: o.Lion(),
}
_OPTIMIZERS3: dict[str, Callable[[Any], Any]] = {
    "loss_scale": lambda o: o.LossScaleOptimizer(o.Adam()),
    "loss_scale_ema": lambda o: o.LossScaleOptimizer(o.SGD(momentum=0.9, use_ema=True)),
    "accumulating": lambda o: o.Adam(gradient_accumulation_steps=2),
    "accumulating_ema": lambda o: o.Adam(gradient_accumulation_steps=2, use_ema=True),
    "adafactor": lambda o: o.Adafactor(),
    "muon": lambda o: o.Muon(),
    "lamb": lambda o: o.Lamb(),
}


def _optimized(make: Callable[[Any], Any]) -> Build:
    return lambda keras: _compiled(keras, make(keras.optimizers))


BOTH.update({f"optimizer_{name}": _optimized(make) for name, make in _OPTIMIZERS.items()})
KERAS3.update({f"optimizer_{name}": _optimized(make) for name, make in _OPTIMIZERS3.items()})


LEGACY["optimizer_loss_scale"] = lambda keras: _compiled(
    keras, keras.mixed_precision.LossScaleOptimizer(keras.optimizers.Adam())
)


def _with_policy(policy: str) -> Build:
    def build(keras: Any) -> Any:
        layers = keras.layers
        x = keras.Input((6, 6, 3))
        y = layers.BatchNormalization(dtype=policy)(layers.Conv2D(4, 3, dtype=policy)(x))
        y = layers.GlobalAveragePooling2D(dtype=policy)(y)
        y = layers.Dense(4, dtype=policy, kernel_constraint="non_neg")(y)
        return keras.Model(x, layers.Dense(2, dtype="float32", name="out")(y))

    return build


for _policy in ("mixed_float16", "mixed_bfloat16", "float16", "bfloat16", "float64"):
    BOTH[f"policy_{_policy}"] = _with_policy(_policy)


@registered_in(KERAS3)
def only_keras3(keras: Any) -> Any:
    """Layers that came with Keras 3."""
    layers = keras.layers
    x = keras.Input((6, 8))
    y = layers.GroupQueryAttention(4, 4, 2, kernel_constraint="non_neg")(x, x)
    y = layers.RMSNormalization()(y)
    y = layers.LayerNormalization(rms_scaling=True)(y)
    return keras.Model(x, layers.Dense(8)(y * 2 + 1))


@registered_in(KERAS3)
def clips(keras: Any) -> Any:
    """Convolutional recurrent layers of other ranks, and a bidirectional one."""
    layers = keras.layers
    rows, volumes = keras.Input((3, 5, 2)), keras.Input((3, 4, 4, 4, 1))
    x = layers.Bidirectional(layers.ConvLSTM1D(2, 2, return_sequences=True))(rows)
    return keras.Model([rows, volumes], [x, layers.ConvLSTM3D(2, 2)(volumes)])


@registered_in(KERAS3)
def adapted(keras: Any) -> Any:
    """Layers with low-rank adapters."""
    layers = keras.layers
    x = keras.Input((5,), dtype="int32")
    embedding, dense = layers.Embedding(9, 8), layers.Dense(6, bias_constraint="non_neg")
    model = keras.Model(x, layers.Dense(2)(dense(embedding(x))))
    embedding.enable_lora(2)
    dense.enable_lora(2)
    return model


@registered_in(KERAS3)
def tied(keras: Any) -> Any:
    """An embedding that is its own output layer, once tied and once not."""
    layers = keras.layers
    words = keras.Input((5,), dtype="int32")
    embedding = layers.ReversibleEmbedding(9, 6)
    other = layers.ReversibleEmbedding(9, 6, tie_weights=False)
    x = layers.Dense(6)(layers.Add()([embedding(words), other(words)]))
    return keras.Model(words, [embedding(x, reverse=True), other(x, reverse=True)])


@registered_in(KERAS3)
def seeded_augmentation(keras: Any) -> Any:
    """Random augmentation layers before a convolution."""
    layers = keras.layers
    x = keras.Input((8, 8, 3))
    return keras.Model(x, layers.Conv2D(2, 3)(layers.RandomRotation(0.1)(layers.RandomFlip()(x))))


@registered_in(LEGACY)
def only_legacy(keras: Any) -> Any:
    """Layers that Keras 3 dropped."""
    layers = keras.layers
    rows, image = keras.Input((9, 3)), keras.Input((6, 6, 2))
    x = layers.LocallyConnected1D(2, 3, kernel_constraint="non_neg")(rows)
    y = layers.LocallyConnected2D(2, 3)(image)
    radial = keras.constraints.RadialConstraint()
    y = layers.Conv2D(2, 3, kernel_constraint=radial)(y)
    return keras.Model([rows, image], [x, y])
