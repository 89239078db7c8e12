"""From a run folder to its network: rebuilt from the card, never deserialised."""

from typing import TYPE_CHECKING, Any

import cnn_keras
from cnn_keras.lazy import quietly_import_keras
from training.runs.command import InputError
from training.runs.folder import Run, sha256

if TYPE_CHECKING:
    import keras


def load_model(run: Run, card: dict[str, Any]) -> "keras.Model":
    """Rebuild a run's network from its card and load its weights.

    Returns:
        A model from `image`, float32 (batch, height, width, channels), raw 0..255, to logits, float32
        (batch, classes).

    Raises:
        InputError: If the weights are missing, are not those that the card names, or do not fit.
    """
    if not run.weights.is_file():
        raise InputError(f"{run.weights} is missing.")
    if sha256(run.weights) != card["weights_sha256"]:
        raise InputError(
            f"{run.weights} is not the file that {run.card} names (its SHA-256 differs): it was "
            "damaged or changed."
        )
    quietly_import_keras()
    from cnn_keras.preprocessing import assemble, from_entries

    try:
        size = card["image_size"]
        shape = (size, size, card["channels"])
        network = cnn_keras.build(card["architecture"], shape, len(card["class_names"]), **card["knobs"])
        cnn_keras.load_weights(network, run.weights)
        return assemble(network, from_entries(card["preprocessing"]))
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{run.card} cannot be followed: {error}") from error


def in_float32(model: "keras.Model") -> "keras.Model":
    """Return the model itself, or a float32 copy where it computes in mixed precision.

    What judges, exports and predicts computes in float32: the figures of a fit in mixed precision are
    those of the files that it leaves.
    """
    import keras

    if all(layer.compute_dtype == "float32" for layer in model.layers):
        return model

    def clone(layer):
        return type(layer).from_config(_in_float32(layer.get_config()))

    copy = keras.models.clone_model(model, clone_function=clone)
    copy.set_weights(model.get_weights())
    return copy


def _in_float32(config: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a layer, and of those inside it, with float32 for their types."""
    return {
        key: "float32" if key == "dtype" else _in_float32(value) if isinstance(value, dict) else value
        for key, value in config.items()
    }
