"""JAX as its users write it; it has no costs of its own, and most are written out here as optax writes them."""

from __future__ import annotations

from ..rows import Idiom, Row

ROWS = {
    "identity": Row("jax.nn.identity(z)"),
    "sigmoid": Row("jax.nn.sigmoid(z)"),
    "tanh": Row("jnp.tanh(z)"),
    "relu": Row("jax.nn.relu(z)"),
    "relu6": Row("jax.nn.relu6(z)"),
    "leaky_relu": Row("jax.nn.leaky_relu(z, alpha)"),
    "elu": Row("jax.nn.elu(z, alpha)"),
    "celu": Row("jax.nn.celu(z, alpha)"),
    "selu": Row("jax.nn.selu(z)"),
    "gelu": Row("jax.nn.gelu(z, approximate=False)", "jax.nn.gelu, approximate=False"),
    "gelu_tanh": Row("jax.nn.gelu(z, approximate=True)", "jax.nn.gelu, approximate=True"),
    "silu": Row("jax.nn.silu(z)"),
    "mish": Row("jax.nn.mish(z)"),
    "softplus": Row("jax.nn.softplus(z)"),
    "squareplus": Row("jax.nn.squareplus(z)"),
    "softsign": Row("jax.nn.soft_sign(z)"),
    "hardtanh": Row("jax.nn.hard_tanh(z)"),
    "hardsigmoid": Row("jax.nn.hard_sigmoid(z)"),
    "hardswish": Row("jax.nn.hard_swish(z)"),
    "log_sigmoid": Row("jax.nn.log_sigmoid(z)"),
    "softmax": Row("jax.nn.softmax(z)"),
    "log_softmax": Row("jax.nn.log_softmax(z)"),
    "half_squared_error": Row("jnp.sum(0.5 * jnp.square(a - y))", "composed: ½ square(a - y)"),
    "squared_error": Row("jnp.sum(jnp.square(a - y))", "composed: square(a - y)"),
    "absolute_error": Row("jnp.sum(jnp.abs(a - y))", "composed: abs(a - y)"),
    "huber": Row(
        """
        def huber(a, y, delta):
            # The derivative is right also where minimum meets its tie.
            size = jnp.abs(a - y)
            quadratic = jnp.minimum(size, delta)
            return jnp.sum(0.5 * quadratic**2 + delta * (size - quadratic))
        """,
        "composed: q = minimum(abs(a - y), delta); ½ q² + delta (abs(a - y) - q)",
    ),
    "smooth_l1": Row(
        """
        def smooth_l1(a, y, beta):
            size = jnp.abs(a - y)
            return jnp.sum(jnp.where(size < beta, 0.5 * jnp.square(size) / beta, size - 0.5 * beta))
        """,
        "composed: r = abs(a - y); where(r < beta, ½ r² / beta, r - ½ beta)",
    ),
    "log_cosh": Row(
        """
        def log_cosh(a, y):
            r = a - y
            return jnp.sum(jnp.logaddexp(r, -r) - math.log(2.0))
        """,
        "composed: logaddexp(a - y, y - a) - log 2",
    ),
    "hinge": Row("jnp.sum(jnp.maximum(0, 1 - y * a))", "composed: maximum(0, 1 - y a)"),
    "squared_hinge": Row(
        "jnp.sum(jnp.square(jnp.maximum(0, 1 - y * a)))", "composed: square(maximum(0, 1 - y a))"
    ),
    # The derivative of xlogy(y, a) is y / a: NaN where both are zero, as they are once a softmax underflows.
    "binary_cross_entropy": Row(
        "jnp.sum(-(y * jnp.log(jnp.where(y == 0, 1.0, a)) + (1 - y) * jnp.log1p(-jnp.where(y == 1, 0.0, a))))",
        "composed: -(y log(where(y = 0, 1, a)) + (1 - y) log1p(-where(y = 1, 0, a)))",
    ),
    "binary_cross_entropy_with_logits": Row(
        "jnp.sum(-y * jax.nn.log_sigmoid(a) - (1 - y) * jax.nn.log_sigmoid(-a))",
        "composed: -y jax.nn.log_sigmoid(a) - (1 - y) jax.nn.log_sigmoid(-a)",
    ),
    "cross_entropy": Row(
        "jnp.sum(-(y * jnp.log(jnp.where(y == 0, 1.0, a))))", "composed: -y log(where(y = 0, 1, a))"
    ),
    "softmax_cross_entropy": Row("jnp.sum(-y * jax.nn.log_softmax(a))", "composed: -y jax.nn.log_softmax(a)"),
    "negative_log_likelihood": Row("jnp.sum(-y * a)", "composed: -y a"),
    "kl_divergence": Row(
        "jnp.sum(y * (jnp.log(jnp.where(y == 0, 1.0, y)) - a))", "composed: y (log(where(y = 0, 1, y)) - a)"
    ),
    "poisson": Row("jnp.sum(jnp.exp(a) - y * a)", "composed: exp(a) - y a"),
}

JAX = Idiom(
    {"jax": "jax", "jnp": "jax.numpy"},
    "jnp.array({values}, jnp.{precision})",
    ROWS,
    setting="jax.config.update('jax_enable_x64', True)",
)
