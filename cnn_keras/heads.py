"""Other classifiers on a network's last feature map than its paper's.

"gap" is a global average and a dense layer: one weight a channel and class. "flatten" is a dense layer
on every value of the map: it sees where things are. "conv1x1" is a 1x1 convolution to a map of the
classes and its global average.
"""

from cnn_keras.lazy import keras, layers
from cnn_keras.weights import HEAD

KINDS = ("paper", "gap", "flatten", "conv1x1")


def replace_head(model, kind, num_classes, *, dropout=0.0):
    """Return a network with another classifier on the last feature map of `model`.

    It shares all other layers with `model`. Its attribute `replaced` has the names of the layers that
    only `model` has, and its new layer with weights is called `predictions`.

    Args:
        model: A network of the catalogue, perhaps with auxiliary logits.
        kind: One of `KINDS`; "paper" returns `model` itself.
        num_classes: Number of classes.
        dropout: Share of the features dropped before the classifier in training.

    Raises:
        ValueError: If the kind is unknown, or the network has no feature map.
    """
    layers.check_choice("head", kind, KINDS)
    if kind == "paper":
        return model
    heads = isinstance(model.output, dict)
    x = feature_map(model)
    if kind == "gap":
        x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
    elif kind == "flatten":
        x = layers.flatten(x)
    if kind != "conv1x1":
        x = layers.classifier(x, num_classes, dropout=dropout)
    else:
        x = layers.dropout(x, dropout, name="dropout")
        x = keras.layers.Conv2D(num_classes, 1, dtype="float32", name=HEAD)(x)
        x = keras.layers.GlobalAveragePooling2D(dtype="float32", name="predictions_average")(x)
    new = keras.Model(model.input, {**model.output, "logits": x} if heads else x, name=model.name)
    names = {layer.name for layer in new.layers}
    new.replaced = tuple(layer.name for layer in model.layers if layer.name not in names)
    return new


def feature_map(model):
    """Return the last feature map before the classifier.

    Returns:
        A Keras tensor, float (batch, height, width, channels).

    Raises:
        ValueError: If the classifier does not work on feature maps.
    """
    tensor = _only(model.get_layer(HEAD).input)
    while tensor is not None and len(tensor.shape) == 2:
        tensor = _only(tensor._keras_history.operation.input)
    if tensor is None or len(tensor.shape) != 4 or tensor is model.input:
        raise ValueError(f"{model.name} classifies no feature map: it has no other head than its own.")
    return tensor


def _only(tensors):
    """Return the one of `tensors`, or None where there are several."""
    tensors = keras.tree.flatten(tensors)
    return tensors[0] if len(tensors) == 1 else None
