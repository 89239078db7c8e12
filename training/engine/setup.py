"""What fit and the range test begin with: everything decided, the network built, the pictures read."""

from dataclasses import dataclass

import keras

import cnn_keras
from training.data.cache import default_folder
from training.data.prepare import Data, prepare
from training.data.sources import Source
from training.engine import features, plan
from training.engine.plan import Choices
from training.runs.settings import Fit


@dataclass(frozen=True)
class Setup:
    """What is there before the first step.

    Attributes:
        choices: The settings that were left open, decided.
        trained: The network with its first weights, perhaps with auxiliary classifiers.
        network: The same without these: what is kept.
        data: The pictures.
    """

    choices: Choices
    trained: keras.Model
    network: keras.Model
    data: Data


def set_up(settings: Fit, source: Source) -> Setup:
    """Decide what is open, build the network and read the pictures.

    Args:
        settings: The settings.
        source: The pictures, split.

    Raises:
        InputError: If settings and pictures do not go together.
    """
    choices = plan.choose(settings, source)
    # the network first, because what is wrong with it shows at once
    trained, fresh = plan.build_network(settings, choices, len(source.class_names))
    network = cnn_keras.without_auxiliary(trained)
    choices = plan.adapt(choices, network, settings.freeze, fresh)
    data = prepare(
        source,
        choices.image_size,
        choices.channels,
        train_size=choices.stored_size,
        cache=settings.cache,
        cache_dir=settings.cache_dir or default_folder(),
        on_bad_image=settings.on_bad_image,
    )
    choices = plan.measure(choices, data)
    if choices.train_head:
        features.check_memory(network, data, choices.head.passes)
    return Setup(choices, trained, network, data)
