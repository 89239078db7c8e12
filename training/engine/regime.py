"""The fit itself: Model.fit on the batches of the pipeline."""

import math

import keras
import numpy as np

import cnn_keras
from cnn_keras.layers import to_stock
from cnn_keras.preprocessing import Standardize, assemble
from training.data.pipeline import evaluation_batches, training_batches
from training.data.prepare import Data
from training.engine import transfer
from training.engine.auxiliary import stages
from training.engine.callbacks import BestWeights, Progress
from training.engine.optimizers import make_optimizer
from training.engine.plan import Choices
from training.runs.command import log
from training.runs.files import replaced
from training.runs.folder import Run
from training.runs.settings import Fit

EVALUATION_BATCH = 64


def train(
    model: keras.Model,
    network: keras.Model,
    data: Data,
    settings: Fit,
    choices: Choices,
    run: Run,
    best: BestWeights,
) -> None:
    """Fit `model`, and leave the best weights in the run folder.

    Args:
        model: From raw pixels to logits and, perhaps, those of auxiliary classifiers.
        network: The same without the scaling and without these: what is saved.
        data: The pictures.
        settings: The settings.
        choices: The settings that were left open.
        run: The run folder.
        best: Keeps the best weights.
    """
    train_split, validation = (
        data.splits["train"],
        evaluation_batches(data.splits["val"], EVALUATION_BATCH),
    )
    if choices.fine_tune:
        transfer.freeze_normalization(model)
    if choices.train_head:  # fine-tuning must not end below what the head alone reaches
        accuracy, loss = validate(network, choices.scaling, data, settings.batch_size)
        log.info("head trained: val_loss %.4f  val_accuracy %.4f", loss, accuracy)
        best.offer(accuracy, loss, epoch=0)
    parts = stages(
        model, cnn_keras.get(settings.arch).aux_weight, stage_by_stage=settings.stage_by_stage
    )
    ends = np.linspace(0, choices.epochs, len(parts) + 1).round().astype(int)
    batch_size = min(settings.batch_size, len(train_split))
    progress = Progress(run, len(train_split) // batch_size, choices.epochs, batch_size)
    for (name, part), first, end in zip(parts, ends[:-1].tolist(), ends[1:].tolist(), strict=True):
        batches, steps = training_batches(
            train_split,
            batch_size,
            end - first,
            policy=choices.policy,
            seed=settings.seed,
            first_epoch=first,
        )
        compile_model(part, settings, choices, steps * (end - first), steps)
        progress.stage = name
        part.fit(
            batches,
            initial_epoch=first,
            epochs=end,
            steps_per_epoch=steps,
            validation_data=validation,
            shuffle=False,  # the pipeline shuffles
            verbose=0,
            callbacks=[
                progress,
                *([best] if end == choices.epochs else []),
                keras.callbacks.TensorBoard(run.path / "tensorboard", write_graph=False),
                keras.callbacks.TerminateOnNaN(),
            ],
        )
        if not math.isfinite(progress.last_loss):
            log.warning("note: the loss became infinite or NaN; training ended early. Try a lower --lr.")
            return


def compile_model(
    model: keras.Model, settings: Fit, choices: Choices, steps: int, steps_an_epoch: int
) -> None:
    """Compile for training of `steps` steps on integer labels."""
    optimizer = make_optimizer(
        choices.optimizer,
        choices.lr,
        choices.weight_decay,
        steps=steps,
        warmup_steps=int(steps_an_epoch * settings.warmup_epochs),
        clip_norm=choices.clip_norm,
    )
    model.compile(
        optimizer,
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )


def validate(
    network: keras.Model, scaling: str | Standardize, data: Data, batch_size: int
) -> tuple[float, float]:
    """Return accuracy and loss on the validation pictures."""
    model = assemble(network, scaling)
    model.compile(
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"]
    )
    batches = evaluation_batches(data.splits["val"], batch_size)
    found = model.evaluate(batches, verbose=0, return_dict=True)
    return found["accuracy"], found["loss"]


def save_keras(run: Run, network: keras.Model, scaling: str | Standardize) -> None:
    """Write the network as a plain Keras file that opens without this package, raw pixels to logits."""
    model = assemble(network, scaling)  # a new one: the one that was trained would save its optimizer
    with replaced(run.keras) as path:
        to_stock(model).save(path)
