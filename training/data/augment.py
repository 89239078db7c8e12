"""Augmentation: named policies as tables of stateless operations on one picture.

The operations are in `geometry`, `colour` and `randaugment`; the seed alone decides what they do. A
policy that crops takes its crop from pictures that are stored larger than the network's input: the
papers cut 224 pixels out of 256.
"""

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from training.data.colour import jitter, pca_colour
from training.data.geometry import (
    BOXES,
    erase,
    flip,
    random_crop,
    random_resized_crop,
    scale_jitter,
    shift,
    shift_rotate,
)
from training.data.randaugment import rand_augment, trivial_augment

Operation = Callable[..., tf.Tensor]
Step = tuple[Operation, dict]


@dataclass(frozen=True)
class Policy:
    """What is done to a training picture.

    Attributes:
        source: Where it is from.
        steps: Operations that keep the size, with their arguments, in this order.
        crop: One that comes before them and takes the side of the result as `size`.
        size_ratio: Side of the stored pictures in units of the network's; 1 without a crop.
    """

    source: str
    steps: tuple[Step, ...]
    crop: Step | None = None
    size_ratio: float = 1.0


POLICIES: dict[str, Policy] = {
    "none": Policy("the pictures as they are", ()),
    "light": Policy(
        "photographs: mirrored half of the time, shifted by up to an eighth of the side",
        ((flip, {}), (shift, {"share": 0.125})),
    ),
    "digits": Policy(
        "characters, never mirrored: shifted and rotated a little",
        ((shift_rotate, {"share": 0.08, "degrees": 10.0}),),
    ),
    "standard": Policy(
        "ImageNet as with ResNets: Gross and Wilber 2016, github.com/facebookarchive/fb.resnet.torch, "
        "without its PCA colour",
        ((flip, {}), (jitter, {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4})),
        crop=(random_resized_crop, {}),
        size_ratio=256 / 224,
    ),
    "strong": Policy(
        "RandAugment, Cubuk et al. 2019, arXiv:1909.13719: 2 operations of magnitude 9, counted to 30 "
        "as in torchvision; random erasing, Zhong et al. 2017, arXiv:1708.04896",
        ((flip, {}), (rand_augment, {"count": 2, "magnitude": 9 / 30}), (erase, {})),
    ),
    "trivial": Policy(
        "TrivialAugment, Mueller and Hutter 2021, arXiv:2103.10158, wide",
        ((flip, {}), (trivial_augment, {})),
    ),
    "alexnet": Policy(
        "Krizhevsky et al. 2012, NIPS 25, section 4.1: 224 of 256 pixels, mirrored, PCA colour",
        ((flip, {}), (pca_colour, {"deviation": 0.1})),
        crop=(random_crop, {}),
        size_ratio=256 / 224,
    ),
    "vgg": Policy(
        "Simonyan and Zisserman 2014, arXiv:1409.1556, section 3.1: 224 pixels of a side of 256 to 512, "
        "mirrored, PCA colour; stored at 384, above which sides are interpolated",
        ((flip, {}), (pca_colour, {"deviation": 0.1})),
        crop=(scale_jitter, {"scale": (256 / 224, 512 / 224)}),
        size_ratio=384 / 224,
    ),
    "inception": Policy(
        "Szegedy et al. 2014, arXiv:1409.4842, section 6: 8 to 100 % of the area, sides of 3:4 to 4:3; "
        "colour of Howard 2013, arXiv:1312.5402: factors of 0.5 to 1.5, here in fixed order",
        ((flip, {}), (jitter, {"brightness": 0.5, "contrast": 0.5, "saturation": 0.5})),
        crop=(random_resized_crop, {"area": (0.08, 1.0), "aspect": (3 / 4, 4 / 3)}),
        size_ratio=256 / 224,
    ),
    "cifar": Policy(
        "He et al. 2015, arXiv:1512.03385, section 4.2: 4 black pixels around 32, cut out 32, mirrored",
        ((shift, {"share": 4 / 32, "border": "CONSTANT"}), (flip, {})),
    ),
}


def resolve(policy: str, *, mirrored: bool) -> str:
    """Return a policy's name; "auto" is light, or digits where mirrored pictures lose their class."""
    if policy == "auto":
        return "light" if mirrored else "digits"
    return policy


def mirrors(policy: str) -> bool:
    """Tell whether a policy mirrors pictures."""
    return any(operation is flip for operation, _ in POLICIES[policy].steps)


def stored_size(policy: str, image_size: int) -> int:
    """Return the side at which a policy takes its pictures, pixels."""
    return round(image_size * POLICIES[policy].size_ratio)


def augment(image: tf.Tensor, policy: str, seed: tf.Tensor, image_size: int | None = None) -> tf.Tensor:
    """Apply a policy to one picture.

    Args:
        image: uint8 (side, side, channels), 0..255, where side is `stored_size`.
        policy: A name from `POLICIES`.
        seed: int32 (2,); the same seed gives the same picture.
        image_size: Side of the result; by default that of the picture.

    Returns:
        uint8 (image_size, image_size, channels).
    """
    chosen = POLICIES[policy]
    if chosen.crop:
        operation, arguments = chosen.crop
        size = image_size or image.shape[0]
        image = operation(image, step_seed(seed, len(chosen.steps)), size, **arguments)
    return alter(image, policy, seed)


def crop_box(policy: str, seed: tf.Tensor, image_size: int) -> tf.Tensor | None:
    """Return the part of a picture that `augment` takes from the same seed.

    Args:
        policy: A name from `POLICIES`.
        seed: int32 or int64 (2,).
        image_size: Side of the result, pixels.

    Returns:
        float32 (4,), shares of the picture's sides: top, left, height, width; None for all of it.
    """
    chosen = POLICIES[policy]
    if not chosen.crop:
        return None
    operation, arguments = chosen.crop
    side = stored_size(policy, image_size)
    box = BOXES[operation](step_seed(seed, len(chosen.steps)), side, side, image_size, **arguments)
    return tf.cast(box, tf.float32) / side


def alter(image: tf.Tensor, policy: str, seed: tf.Tensor) -> tf.Tensor:
    """Do what `augment` does after the crop."""
    for step, (operation, arguments) in enumerate(POLICIES[policy].steps):
        image = operation(image, step_seed(seed, step), **arguments)
    return image


def step_seed(seed: tf.Tensor, step: int) -> tf.Tensor:
    """Return what decides one step of a policy, int64 (2,): a stream of its own.

    Adding is enough: the generator scrambles its seed. An index never reaches 2^40.
    """
    return tf.cast(seed, tf.int64) + tf.constant([0, step << 40], tf.int64)
