"""TensorFlow as its users write it, without Keras; its costs come per example or per output, and are added up here."""

from __future__ import annotations

from ..rows import Idiom, Row

ROWS = {
    "identity": Row("tf.identity(z)"),
    "sigmoid": Row("tf.nn.sigmoid(z)"),
    "tanh": Row("tf.nn.tanh(z)"),
    "relu": Row("tf.nn.relu(z)"),
    "relu6": Row("tf.nn.relu6(z)"),
    "leaky_relu": Row("tf.nn.leaky_relu(z, alpha)"),
    "elu": Row(
        """
        def elu(z, alpha):
            # tf.nn.elu has no alpha; this is how Keras gives it one.
            return tf.nn.elu(z) if alpha == 1 else tf.where(z > 0, z, alpha * tf.nn.elu(z))
        """,
        "tf.nn.elu where alpha = 1; elsewhere where(z > 0, z, alpha tf.nn.elu(z))",
    ),
    "celu": Row(
        "tf.where(z > 0, z, alpha * tf.nn.elu(z / alpha))",
        "composed: where(z > 0, z, alpha tf.nn.elu(z / alpha))",
    ),
    "selu": Row("tf.nn.selu(z)"),
    "gelu": Row("tf.nn.gelu(z, approximate=False)", "tf.nn.gelu, approximate=False"),
    "gelu_tanh": Row("tf.nn.gelu(z, approximate=True)", "tf.nn.gelu, approximate=True"),
    "silu": Row("tf.nn.silu(z)"),
    "mish": Row("z * tf.nn.tanh(tf.nn.softplus(z))", "composed: z tanh(tf.nn.softplus(z))"),
    "softplus": Row("tf.nn.softplus(z)"),
    "squareplus": Row("(z + tf.sqrt(z * z + 4.0)) / 2.0", "composed: (z + tf.sqrt(z² + 4)) / 2"),
    "softsign": Row("tf.nn.softsign(z)"),
    "hardtanh": Row("tf.clip_by_value(z, -1.0, 1.0)", "composed: tf.clip_by_value(z, -1, 1)"),
    "hardsigmoid": Row("tf.nn.relu6(z + 3.0) / 6.0", "composed: tf.nn.relu6(z + 3) / 6"),
    "hardswish": Row("z * tf.nn.relu6(z + 3.0) / 6.0", "composed: z tf.nn.relu6(z + 3) / 6"),
    "log_sigmoid": Row("tf.math.log_sigmoid(z)"),
    "softmax": Row("tf.nn.softmax(z)"),
    "log_softmax": Row("tf.nn.log_softmax(z)"),
    "half_squared_error": Row("tf.nn.l2_loss(a - y)", "tf.nn.l2_loss"),
    "squared_error": Row("tf.reduce_sum(tf.math.squared_difference(a, y))", "tf.math.squared_difference"),
    "absolute_error": Row("tf.reduce_sum(tf.abs(a - y))", "composed: abs(a - y)"),
    "huber": Row(
        """
        def huber(a, y, delta):
            # The derivative is right also where minimum meets its tie.
            size = tf.abs(a - y)
            quadratic = tf.minimum(size, delta)
            return tf.reduce_sum(0.5 * tf.square(quadratic) + delta * (size - quadratic))
        """,
        "composed: q = minimum(abs(a - y), delta); ½ q² + delta (abs(a - y) - q)",
    ),
    "smooth_l1": Row(
        """
        def smooth_l1(a, y, beta):
            size = tf.abs(a - y)
            return tf.reduce_sum(tf.where(size < beta, 0.5 * tf.square(size) / beta, size - 0.5 * beta))
        """,
        "composed: r = abs(a - y); where(r < beta, ½ r² / beta, r - ½ beta)",
    ),
    "log_cosh": Row(
        """
        def log_cosh(a, y):
            r = a - y
            return tf.reduce_sum(r + tf.nn.softplus(-2.0 * r) - math.log(2.0))
        """,
        "composed: r + tf.nn.softplus(-2 r) - log 2, r = a - y",
    ),
    "hinge": Row("tf.reduce_sum(tf.maximum(1.0 - y * a, 0.0))", "composed: maximum(1 - y a, 0)"),
    "squared_hinge": Row(
        "tf.reduce_sum(tf.square(tf.maximum(1.0 - y * a, 0.0)))", "composed: square(maximum(1 - y a, 0))"
    ),
    "binary_cross_entropy": Row(
        "tf.reduce_sum(-tf.math.xlogy(y, a) - tf.math.xlog1py(1.0 - y, -a))",
        "composed: -tf.math.xlogy(y, a) - tf.math.xlog1py(1 - y, -a)",
    ),
    "binary_cross_entropy_with_logits": Row(
        "tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(labels=y, logits=a))",
        "tf.nn.sigmoid_cross_entropy_with_logits",
    ),
    "cross_entropy": Row("tf.reduce_sum(-tf.math.xlogy(y, a))", "composed: -tf.math.xlogy(y, a)"),
    "softmax_cross_entropy": Row(
        "tf.reduce_sum(tf.nn.softmax_cross_entropy_with_logits(labels=y, logits=a))",
        "tf.nn.softmax_cross_entropy_with_logits",
    ),
    "negative_log_likelihood": Row("tf.reduce_sum(-y * a)", "composed: -y a"),
    "kl_divergence": Row(
        "tf.reduce_sum(y * (tf.math.log(tf.where(y == 0, tf.ones_like(y), y)) - a))",
        "composed: y (log(where(y = 0, 1, y)) - a)",
    ),
    "poisson": Row("tf.reduce_sum(tf.nn.log_poisson_loss(targets=y, log_input=a))", "tf.nn.log_poisson_loss"),
}

TENSORFLOW = Idiom({"tf": "tensorflow"}, "tf.constant({values}, tf.{precision})", ROWS)
