"""What the Inception networks share: branches side by side, written as tuples.

A module is a tuple of branches, whose outputs are concatenated; a branch is a tuple of steps, one
behind the other; a step is one of

    (filters, kernel[, stride[, padding]])     a convolutional unit; stride 1 and "same" if left out
    ("max" or "average", size[, stride[, padding]])    pooling, likewise
    (branch, branch, ...)                      a module within the module
"""

from cnn_keras.lazy import LazyModule, keras, layers

inception_layers = LazyModule("cnn_keras.inception_layers")


def unit(x, filters, kernel, stride=1, padding="same", *, style, name):
    """Convolve, normalise and activate `x`."""
    x = style.conv(x, filters, kernel, stride, padding=padding, name=f"{name}_conv")
    x = style.norm(x, f"{name}_bn")
    return style.act(x, f"{name}_act")


def pool(x, kind, size, stride=1, padding="same", *, instead, style, name):
    """Pool `x`, at stride 1 as `instead` says where that is not None."""
    if instead and stride == 1:
        kind = instead
    if style.torchvision and kind == "average" and padding == "same":  # its zeros count, Keras's do not
        x, padding = layers.pad(x, size // 2, f"{name}_pad"), "valid"
    return layers.pool(x, kind, size, stride, padding=padding, name=f"{name}_pool")


def branch(x, steps, *, style, name, pooling=None, forks=None):
    """Apply `steps` to `x`, one behind the other.

    Args:
        x: A Keras tensor, float (batch, height, width, channels).
        steps: See the module's documentation.
        style: A `layers.Style`.
        name: Prefix of the names: step 2 of "mixed5_1" makes "mixed5_1_2_conv", "mixed5_1_2_bn" etc.
        pooling: "max" or "average" replaces the kind of pooling of stride 1; None keeps the table's.
        forks: Other names for the concatenations within the branch, by the name that they would have.

    Returns:
        A Keras tensor.
    """
    for i, step in enumerate(steps, 1):
        label = f"{name}_{i}"
        if isinstance(step[0], tuple):
            x = module(x, step, style=style, name=label, pooling=pooling, forks=forks)
        elif isinstance(step[0], str):
            x = pool(x, *step, instead=pooling, style=style, name=label)
        else:
            x = unit(x, *step, style=style, name=label)
    return x


def module(x, branches, *, style, name, pooling=None, forks=None):
    """Apply `branches` to `x` side by side and concatenate their channels; see `branch`."""
    outputs = [
        branch(x, steps, style=style, name=f"{name}_{i}", pooling=pooling, forks=forks)
        for i, steps in enumerate(branches, 1)
    ]
    return keras.layers.Concatenate(name=(forks or {}).get(name, name))(outputs)


def units(name, branches):
    """Return the names of the convolutional units of a module in the order in which it builds them."""
    found = []
    for i, steps in enumerate(branches, 1):
        for j, step in enumerate(steps, 1):
            label = f"{name}_{i}_{j}"
            if isinstance(step[0], tuple):
                found += units(label, step)
            elif not isinstance(step[0], str):
                found.append(label)
    return found


def auxiliary(x, num_classes, *, style, name):
    """Classify the 17 x 17 feature map `x` (Szegedy et al. 2015, figure 8) to logits.

    Average pooling 5 x 5 / 3 to 5 x 5, 128 channels, then 768 at 1 x 1. On small inputs, the windows
    shrink to what is there; on large ones, the last map is averaged. Of an open size they cannot know
    what is there: an input too small for them is refused when it comes.
    """
    size = reduced_size(x)
    if None in x.shape[1:3]:
        # five windows, 3 pixels apart, for the convolution behind them
        least = [size + 4 * 3 if side is None else 0 for side in x.shape[1:3]]
        x = inception_layers.AuxiliaryPooling(size, 3, least, name=f"{name}_pool")(x)
    else:
        x = layers.pool(x, "average", size, 3, padding="valid", name=f"{name}_pool")
    x = unit(x, 128, 1, style=style, name=f"{name}_1")
    kernel = tuple(min(5, side or 5) for side in x.shape[1:3])
    x = unit(x, 768, kernel, 1, "valid", style=style, name=f"{name}_2")
    x = keras.layers.GlobalAveragePooling2D(name=f"{name}_avg_pool")(x)
    return logits(x, num_classes, style=style, name=name)


def reduced_size(x):
    """Return the side of the windows that an auxiliary classifier averages: 5, or what `x` has."""
    return min(5, *(side or 5 for side in x.shape[1:3]))


def logits(x, num_classes, *, style, name):
    """Map features, float (batch, features), to the logits of the auxiliary classifier `name`."""
    return keras.layers.Dense(
        num_classes,
        kernel_initializer=style.initializer,
        dtype="float32",
        name=f"{name}_predictions",
    )(x)


def finish(image, x, num_classes, *, dropout, style, heads, name):
    """Close a network: global average, classifier and, where there are any, auxiliary logits.

    Args:
        image: The network's input.
        x: Its last feature map.
        num_classes: Number of classes.
        dropout: Share of the pooled features dropped in training.
        style: A `layers.Style`.
        heads: Auxiliary logits by name: none, "aux1", or "aux1" and "aux2".
        name: Name of the model.

    Returns:
        A model to logits or, with heads, to {"logits": ..., "aux1": ..., ...}.
    """
    x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
    x = layers.classifier(x, num_classes, dropout=dropout, initializer=style.initializer)
    return keras.Model(image, {"logits": x, **heads} if heads else x, name=name)


def without_auxiliary(model):
    """Return the main network of a model that was built with `aux=True`.

    It shares the layers, and thus the weights, of `model`. A model without auxiliary classifiers is
    returned as it is.
    """
    if not isinstance(model.output, dict):
        return model
    main = keras.Model(model.input, model.output["logits"], name=model.name)
    if hasattr(model, "knobs"):
        main.knobs = model.knobs
    return main
