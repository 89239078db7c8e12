"""Training with auxiliary classifiers, which help the gradient down a deep network and then go.

Two regimes: all classifiers at once, the auxiliary ones with a smaller weight (Szegedy et al. 2014,
section 5: 0.3; 2015: 0.4 in the authors' code); or stage by stage, up to the first auxiliary classifier,
then up to the second, then to the end.
"""

import keras


class WithAuxiliary(keras.Model):
    """A network to {"logits", "aux1", ...} that is judged by its logits alone.

    In training, the losses of the auxiliary classifiers are added; in validation, only the main one
    counts, so that the figures are those of the network that is kept. Create it as a Functional model,
    and set `aux_weight`.
    """

    aux_weight = 0.0

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Return the loss of the logits and, in training, of the auxiliary classifiers."""
        total = super().compute_loss(x, y, y_pred["logits"], sample_weight, training)
        if training:
            for name, logits in y_pred.items():
                if name != "logits":
                    total = total + self.aux_weight * self.loss(y, logits, sample_weight)
        return total

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Update the metrics from the logits alone."""
        return super().compute_metrics(x, y, y_pred["logits"], sample_weight)


def stages(
    model: keras.Model, aux_weight: float, *, stage_by_stage: bool
) -> list[tuple[str, keras.Model]]:
    """Return what is to be trained, one after the other, with its name; the last is the whole network.

    Args:
        model: From raw pixels to logits, or to {"logits", "aux1", ...}.
        aux_weight: Weight of each auxiliary classifier's loss where all are trained at once.
        stage_by_stage: Whether to train up to each auxiliary classifier in turn instead. What a stage
            has learnt goes on learning in the next.
    """
    if not isinstance(model.output, dict):
        return [("", model)]
    if not stage_by_stage:
        together = WithAuxiliary(model.input, model.output, name=model.name)
        together.aux_weight = aux_weight
        return [("", together)]
    parts = {f"up to {name}": model.output[name] for name in sorted(model.output) if name != "logits"}
    parts["to the end"] = model.output["logits"]
    return [(name, keras.Model(model.input, output)) for name, output in parts.items()]
