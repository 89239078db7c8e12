"""The fit itself: Model.fit on the batches of the pipeline."""

import keras

from cnn_keras.layers import to_stock
from cnn_keras.preprocessing import assemble
from training.data.pipeline import evaluation_batches, training_batches
from training.data.prepare import Data
from training.engine import transfer
from training.engine.callbacks import BestWeights, Progress
from training.engine.optimizers import CLIP_NORM, make_optimizer
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
        model: From raw pixels to logits.
        network: The same without the scaling: what is saved.
        data: The pictures.
        settings: The settings.
        choices: The settings that were left open.
        run: The run folder.
        best: Keeps the best weights.
    """
    batches, steps = training_batches(
        data.splits["train"],
        settings.batch_size,
        choices.epochs,
        policy=choices.policy,
        seed=settings.seed,
    )
    if choices.fine_tune:
        transfer.freeze_normalization(model)
    compile_model(model, settings, choices, steps)
    validation = evaluation_batches(data.splits["val"], EVALUATION_BATCH)
    if choices.train_head:  # fine-tuning must not end below what the head alone reaches
        accuracy, loss = validate(model, data, settings.batch_size)
        log.info("head trained: val_loss %.4f  val_accuracy %.4f", loss, accuracy)
        best.offer(accuracy, loss, epoch=0)
    batch_size = min(settings.batch_size, len(data.splits["train"]))
    model.fit(
        batches,
        epochs=choices.epochs,
        steps_per_epoch=steps,
        validation_data=validation,
        shuffle=False,  # the pipeline shuffles
        verbose=0,
        callbacks=[
            Progress(run, steps, choices.epochs, batch_size),
            best,
            keras.callbacks.TensorBoard(run.path / "tensorboard", write_graph=False),
            keras.callbacks.TerminateOnNaN(),
        ],
    )


def compile_model(model: keras.Model, settings: Fit, choices: Choices, steps: int) -> None:
    """Compile for training on integer labels."""
    optimizer = make_optimizer(
        choices.optimizer,
        choices.lr,
        choices.weight_decay,
        steps=steps * choices.epochs,
        warmup_steps=int(steps * settings.warmup_epochs),
        clip_norm=CLIP_NORM if choices.fine_tune or is_recurrent(model) else None,
    )
    model.compile(
        optimizer,
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )


def is_recurrent(model: keras.Model) -> bool:
    """Tell whether a network has loops, through which gradients explode (Pascanu et al. 2013)."""
    recurrent = (keras.layers.RNN, keras.layers.Bidirectional)
    return any(isinstance(layer, recurrent) for layer in model.layers)


def validate(model: keras.Model, data: Data, batch_size: int) -> tuple[float, float]:
    """Return accuracy and loss on the validation pictures."""
    if not model.compiled:
        model.compile(
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"]
        )
    batches = evaluation_batches(data.splits["val"], batch_size)
    found = model.evaluate(batches, verbose=0, return_dict=True)
    return found["accuracy"], found["loss"]


def save_keras(run: Run, network: keras.Model, scaling: str) -> None:
    """Write the network as a plain Keras file that opens without this package, raw pixels to logits."""
    model = assemble(network, scaling)  # a new one: the one that was trained would save its optimizer
    with replaced(run.keras) as path:
        to_stock(model).save(path)
