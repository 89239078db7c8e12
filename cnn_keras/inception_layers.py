"""The layer that the auxiliary classifiers of Inception v3 and v4 have of their own."""

from collections.abc import Sequence
from typing import Any

import keras


@keras.saving.register_keras_serializable(package="cnn_keras")
class AuxiliaryPooling(keras.layers.AveragePooling2D):
    """Average pooling that names the smallest picture that an auxiliary classifier of open size takes.

    At a fixed size its windows shrink to what is there; at an open one they are the paper's.

    Args:
        pool_size: Side of the windows.
        strides: Pixels from one window to the next.
        least: Smallest height and width of the map; 0 where that side is fixed.
        **options: See keras.layers.AveragePooling2D.
    """

    def __init__(self, pool_size: Any, strides: Any, least: Sequence[int], **options: Any):
        super().__init__(pool_size, strides, **options)
        self.least = tuple(least)

    def call(self, inputs: Any) -> Any:
        """Pool `inputs`, float (batch, height, width, channels); a ValueError if they are too small."""
        sides = zip(inputs.shape[1:3], self.least, strict=True)
        if any(side is not None and side < least for side, least in sides):
            # the layers in front of it: a map of m pixels is that of a picture of 16 m + 27 or more
            height, width = (f"{16 * least + 27}" if least else "any" for least in self.least)
            raise ValueError(
                "This picture is too small for the auxiliary classifier of a network built with an open "
                f"size, which needs at least {height} x {width} pixels. Give build this picture's size, "
                "or leave aux out."
            )
        return super().call(inputs)

    def get_config(self) -> dict:
        """Return what makes the layer again."""
        return super().get_config() | {"least": self.least}
