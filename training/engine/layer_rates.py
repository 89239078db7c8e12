"""Learning rates of their own for the layers of a network, and the step from which on each learns.

Layer-wise decay as in Howard and Ruder 2018 (ULMFiT, section 3.2, "discriminative fine-tuning") and
Bao et al. 2021 (BEiT): the nearer to the picture, the smaller the rate. Gradual unfreezing as in the
same section 3.2 of ULMFiT. Both are functions of the optimizer's step alone, so there is nothing to
save or to restore.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field

from keras import ops


@dataclass(frozen=True)
class LayerRates:
    """What single layers do differently.

    Attributes:
        shares: By layer name, the factor of the optimizer's learning rate; 1 where there is none.
        starts: By layer name, the first step that changes the layer, counted from 0.
    """

    shares: Mapping[str, float] = field(default_factory=dict)
    starts: Mapping[str, int] = field(default_factory=dict)


class _LayerWise:
    """Mixin of an optimizer: rate and weight decay of every layer are those of `rates`.

    Layers that do not learn yet have no part in the norm of the gradients, and moments of 0.
    """

    rates = LayerRates()
    _factor = 1.0  # of the rate, while the weights of one layer decay

    def _layer(self, variable):
        return self._trainable_variables[self._get_variable_index(variable)].path.split("/")[0]

    def _learns(self, variable):
        """Return 1.0, or 0.0 before the first step of the variable's layer."""
        start = self.rates.starts.get(self._layer(variable), 0)
        return ops.cast(self.iterations >= start, variable.dtype) if start else 1.0

    def _share(self, variable):
        return self.rates.shares.get(self._layer(variable), 1.0) * self._learns(variable)

    def _get_current_learning_rate(self):
        return super()._get_current_learning_rate() * self._factor

    def _backend_apply_gradients(self, grads, trainable_variables):
        pairs = zip(grads, trainable_variables, strict=True)
        super()._backend_apply_gradients([g * self._learns(v) for g, v in pairs], trainable_variables)

    def _apply_weight_decay(self, variables):
        for variable in variables:
            # not by the setter of Keras, which would track the factor as a part of the optimizer
            object.__setattr__(self, "_factor", self._share(variable))
            super()._apply_weight_decay([variable])
        object.__setattr__(self, "_factor", 1.0)

    def update_step(self, gradient, variable, learning_rate):
        super().update_step(gradient, variable, learning_rate * self._share(variable))


def layer_wise(make, rates: LayerRates):
    """Return an optimizer class, or a partial of one, whose layers have the `rates`."""
    if isinstance(make, functools.partial):
        return functools.partial(layer_wise(make.func, rates), *make.args, **make.keywords)
    return type(make.__name__, (_LayerWise, make), {"rates": rates})


def decayed(blocks: list[list[str]], decay: float) -> dict[str, float]:
    """Return the share of every layer: decay^k for the k-th block before the last.

    Args:
        blocks: Layer names of each block, from the picture to the logits.
        decay: Factor from a block to the one before it, above 0 and at most 1.
    """
    return {name: decay**k for k, block in enumerate(reversed(blocks)) for name in block}


def thawed(blocks: list[list[str]], epochs: int, steps: int) -> dict[str, int]:
    """Return the first step of every layer, so that all blocks learn from the last of `epochs` on.

    In epoch e, counted from 1, the last ceil(e / epochs * n) of the n blocks before the head learn; the
    head does from the start.

    Args:
        blocks: Layer names of each block that ever learns, from the picture to the logits.
        epochs: Epochs over which the blocks thaw.
        steps: Steps an epoch.
    """
    *others, _ = blocks
    count = len(others)
    return {
        name: steps * ((place * epochs) // count)
        for place, block in enumerate(reversed(others))
        for name in block
    }
