"""Optimizers by name, with their schedule."""

import keras

DEFAULT_LR = {("adamw", False): 4e-3, ("sgd", False): 0.05, ("adamw", True): 1e-5, ("sgd", True): 1e-3}
CLIP_NORM = 1.0  # where gradients may be large: fine-tuning, recurrent networks
DEFAULT_WEIGHT_DECAY = {"adamw": 0.01, "sgd": 0.0}


def make_optimizer(
    name: str,
    lr: float,
    weight_decay: float,
    *,
    steps: int,
    warmup_steps: int,
    clip_norm: float | None = None,
    momentum: float = 0.9,
) -> keras.optimizers.Optimizer:
    """Make an optimizer whose rate rises linearly to `lr` and then falls to 0 along half a cosine.

    Args:
        name: "adamw" (Loshchilov and Hutter 2019) or "sgd" (with Nesterov momentum).
        lr: Largest learning rate.
        weight_decay: Decoupled decay of kernels a step, as a share of the rate; biases and
            normalisation have none.
        steps: Steps of the whole training.
        warmup_steps: Steps of the rise.
        clip_norm: Largest norm of all gradients together; None for no limit.
        momentum: Of sgd.
    """
    warmup_steps = min(warmup_steps, steps - 1)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=lr / (warmup_steps + 1) if warmup_steps else lr,
        decay_steps=steps - warmup_steps,
        warmup_target=lr if warmup_steps else None,
        warmup_steps=warmup_steps,
    )
    decay = weight_decay or None
    if name == "adamw":
        optimizer = keras.optimizers.AdamW(
            schedule, weight_decay=weight_decay, global_clipnorm=clip_norm
        )
    else:
        optimizer = keras.optimizers.SGD(
            schedule,
            momentum=momentum,
            nesterov=momentum > 0,
            weight_decay=decay,
            global_clipnorm=clip_norm,
        )
    if decay:
        optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])
    return optimizer
