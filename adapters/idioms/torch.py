"""PyTorch as its users write it; its own mean divides by the width as well, so every cost is a sum."""

from __future__ import annotations

from ..rows import Idiom, Row

ROWS = {
    "identity": Row("z", "composed: z"),
    "sigmoid": Row("torch.sigmoid(z)"),
    "tanh": Row("torch.tanh(z)"),
    "relu": Row("F.relu(z)"),
    "relu6": Row("F.relu6(z)"),
    "leaky_relu": Row("F.leaky_relu(z, alpha)"),
    "elu": Row("F.elu(z, alpha)"),
    "celu": Row("F.celu(z, alpha)"),
    "selu": Row("F.selu(z)"),
    "gelu": Row("F.gelu(z)"),
    "gelu_tanh": Row("F.gelu(z, approximate='tanh')", "torch.nn.functional.gelu, approximate='tanh'"),
    "silu": Row("F.silu(z)"),
    "mish": Row("F.mish(z)"),
    "softplus": Row("F.softplus(z)"),
    "squareplus": Row("(z + torch.sqrt(z * z + 4)) / 2", "composed: (z + torch.sqrt(z² + 4)) / 2"),
    "softsign": Row("F.softsign(z)"),
    "hardtanh": Row("F.hardtanh(z)"),
    "hardsigmoid": Row("F.hardsigmoid(z)"),
    "hardswish": Row("F.hardswish(z)"),
    "log_sigmoid": Row("F.logsigmoid(z)"),
    "softmax": Row("F.softmax(z, dim=-1)"),
    "log_softmax": Row("F.log_softmax(z, dim=-1)"),
    "half_squared_error": Row("0.5 * F.mse_loss(a, y, reduction='sum')", "½ torch.nn.functional.mse_loss"),
    "squared_error": Row("F.mse_loss(a, y, reduction='sum')"),
    "absolute_error": Row("F.l1_loss(a, y, reduction='sum')"),
    "huber": Row("F.huber_loss(a, y, reduction='sum', delta=delta)"),
    "smooth_l1": Row("F.smooth_l1_loss(a, y, reduction='sum', beta=beta)"),
    "log_cosh": Row(
        """
        def log_cosh(a, y):
            r = a - y
            return (torch.logaddexp(r, -r) - math.log(2.0)).sum()
        """,
        "composed: Σ torch.logaddexp(a - y, y - a) - log 2",
    ),
    "hinge": Row("F.relu(1 - y * a).sum()", "composed: Σ relu(1 - y a)"),
    "squared_hinge": Row("F.relu(1 - y * a).square().sum()", "composed: Σ relu(1 - y a)²"),
    "binary_cross_entropy": Row("F.binary_cross_entropy(a, y, reduction='sum')"),
    "binary_cross_entropy_with_logits": Row("F.binary_cross_entropy_with_logits(a, y, reduction='sum')"),
    # The derivative of xlogy(y, a) is y / a: NaN where both are zero, as they are once a softmax underflows.
    "cross_entropy": Row(
        "-(y * torch.log(torch.where(y == 0, 1.0, a))).sum()", "composed: -Σ y log(where(y = 0, 1, a))"
    ),
    "softmax_cross_entropy": Row(
        "F.cross_entropy(a, y, reduction='sum')", "torch.nn.functional.cross_entropy, y as probabilities"
    ),
    "negative_log_likelihood": Row(
        "-(y * a).sum()",
        "torch.nn.functional.nll_loss where y is one-hot; elsewhere -Σ y a",
        classes="F.nll_loss(a, y, reduction='sum')",
    ),
    "kl_divergence": Row("F.kl_div(a, y, reduction='sum')"),
    "poisson": Row("F.poisson_nll_loss(a, y, log_input=True, full=False, reduction='sum')"),
}

TORCH = Idiom(
    {"torch": "torch", "F": "torch.nn.functional"}, "torch.tensor({values}, dtype=torch.{precision})", ROWS
)
