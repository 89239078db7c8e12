"""What happens around Model.fit."""

import keras
import numpy as np
import pytest

from training.engine import plan, regime
from training.engine.auxiliary import stages
from training.runs.settings import Fit

CHOICES = plan.Choices(4, 1, "unit", "none", False, 1, False, "adamw", 1e-3, 0.01, None, "float32")


@pytest.mark.parametrize("heads", [("logits",), ("logits", "aux1")])
def test_the_training_step_is_traced_once(heads, monkeypatch):
    """Variables that are made inside the first step cost a second tracing: seconds for deep networks."""
    image = keras.Input((4,))
    outputs = {name: keras.layers.Dense(3, name=name)(image) for name in heads}
    network = keras.Model(image, outputs if len(heads) > 1 else outputs["logits"])
    ((_, model),) = stages(network, 0.3, stage_by_stage=False)
    traced = []
    original = keras.Model.train_step

    def counted(self, data):
        traced.append(1)
        return original(self, data)

    monkeypatch.setattr(keras.Model, "train_step", counted)
    regime.compile_model(model, Fit(), CHOICES, steps=10, steps_an_epoch=5)
    x, y = np.ones((8, 4), "float32"), np.zeros(8, int)
    history = model.fit(x, y, batch_size=4, epochs=2, validation_data=(x, y), verbose=0).history
    assert len(traced) == 1
    assert history["accuracy"][-1] in (0.0, 1.0)  # of one picture: what was made ahead is not counted
