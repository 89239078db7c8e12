"""The fit itself: Model.fit on the batches of the pipeline."""

import math

import keras
import numpy as np

import cnn_keras
from cnn_keras.layers import to_stock
from cnn_keras.preprocessing import Standardize, assemble
from training.data.mixing import Mixing
from training.data.pipeline import evaluation_batches, training_batches
from training.data.prepare import Data
from training.data.targets import LabelTargets, Targets, class_weights, label_weights
from training.engine import transfer
from training.engine.auxiliary import stages
from training.engine.callbacks import BestWeights, EarlyStop, Progress
from training.engine.checkpoint import Checkpoint
from training.engine.layer_rates import LayerRates
from training.engine.losses import Loss, metrics
from training.engine.optimizers import make_optimizer
from training.engine.plan import Choices
from training.engine.schedules import Plateau, Schedule
from training.engine.transfer import HeadTraining
from training.runs.checkpoints import Place
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
    checkpoint: Checkpoint,
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
        checkpoint: Keeps all that a resume needs, and says where the fit goes on.
    """
    train_split, validation = (
        data.to_augment,
        evaluation_batches(data.splits["val"], EVALUATION_BATCH),
    )
    if choices.fine_tune:
        transfer.freeze(model, choices.frozen)
    if choices.train_head and not checkpoint.saved:
        # fine-tuning must not end below what the head alone reaches
        score, loss = validate(network, choices, data, settings)
        log.info("head trained: val_loss %.4f  val_%s %.4f", loss, best.score, score)
        best.offer(score, loss, epoch=0)
    parts = stages(
        model, cnn_keras.get(settings.arch).aux_weight, stage_by_stage=settings.stage_by_stage
    )
    ends = np.linspace(0, choices.epochs, len(parts) + 1).round().astype(int)
    batch_size = min(settings.batch_size, len(train_split))
    mixing = None
    if settings.mixup or settings.cutmix:
        mixing = Mixing(settings.mixup, settings.cutmix, len(data.class_names))
    steps = len(train_split) // batch_size
    progress = Progress(run, steps, choices.epochs, batch_size, best.score)
    keepers = [best]
    if settings.early_stop:
        keepers.append(EarlyStop(best, settings.early_stop))
    phases = zip(parts, ends[:-1].tolist(), ends[1:].tolist(), strict=True)
    for phase, ((name, part), first, end) in enumerate(phases):
        start = checkpoint.saved or Place(phase, first, 0)
        if start.phase > phase:
            continue
        done = (start.epoch - first) * progress.steps + start.step
        batches, steps = training_batches(
            train_split,
            batch_size,
            end - first,
            policy=choices.policy,
            seed=settings.seed,
            first_epoch=first,
            first_step=done,
            image_size=choices.image_size,
            mixing=mixing,
            targets=targets(settings, data),
        )
        rates = layer_rates(network, settings, choices, steps)
        schedule = compile_model(part, settings, choices, steps * (end - first), steps, rates)
        progress.stage = name
        callbacks = [
            # swaps the averaged weights in for the validation and what looks at its end
            *([keras.callbacks.SwapEMAWeights(swap_on_epoch=True)] if settings.ema else []),
            progress,
            *(keepers if end == choices.epochs else []),
            *([Plateau(schedule)] if choices.schedule == "plateau" else []),
            keras.callbacks.TensorBoard(run.path / "tensorboard", write_graph=False),
            keras.callbacks.TerminateOnNaN(),
            checkpoint,
        ]
        checkpoint.begin(phase, part, model, callbacks, [schedule.scale])
        with checkpoint.on_signals():
            part.fit(
                batches.repeat() if done else batches,  # Keras counts the steps that are done too
                initial_epoch=start.epoch,
                epochs=end,
                steps_per_epoch=steps,
                validation_data=validation,
                shuffle=False,  # the pipeline shuffles
                verbose=0,
                callbacks=callbacks,
            )
        if not math.isfinite(progress.last_loss):
            log.warning("note: the loss became infinite or NaN; training ended early. Try a lower --lr.")
            return


def targets(settings: Fit, data: Data) -> Targets | LabelTargets:
    """Return what the network is taught of the labels."""
    kind = "effective" if settings.loss == "class-balanced" else settings.class_weight
    labels, classes = data.splits["train"].labels, len(data.class_names)
    if data.source.multi_label:
        weights = None if kind == "none" else label_weights(labels)
        return LabelTargets(settings.label_smoothing, weights)
    weights = None if kind == "none" else class_weights(kind, labels, classes)
    return Targets(classes, settings.label_smoothing, weights)


def layer_rates(network: keras.Model, settings: Fit, choices: Choices, steps: int) -> LayerRates | None:
    """Return what single layers do differently, with `steps` steps an epoch; None where nothing is."""
    return transfer.layer_rates(
        network,
        choices.frozen,
        decay=choices.layer_decay,
        unfreeze_epochs=settings.unfreeze_epochs,
        steps=steps,
    )


def compile_model(
    model: keras.Model,
    settings: Fit,
    choices: Choices | HeadTraining,
    steps: int,
    steps_an_epoch: int,
    layer_rates: LayerRates | None = None,
) -> Schedule:
    """Compile for training of `steps` steps on labels; return the schedule of the rate."""
    schedule = Schedule(choices.schedule, choices.lr, steps, int(steps_an_epoch * choices.warmup_epochs))
    optimizer = make_optimizer(
        choices.optimizer,
        schedule,
        choices.weight_decay,
        clip_norm=choices.clip_norm,
        clip_value=choices.clip_value,
        ema=settings.ema,
        accumulate=settings.accumulate,
        layer_rates=layer_rates,
    )
    penalise(model, settings.l1, settings.l2)
    multi_label = choices.multi_label
    model.compile(optimizer, Loss(choices.loss, multi_label), metrics=metrics(multi_label))
    _create_variables(model, multi_label)
    return schedule


def penalise(model: keras.Model, l1: float, l2: float) -> None:
    """Add l1 * sum |w| + l2 * sum w^2 over all kernels to the loss, in training and in validation."""
    for variable in model.trainable_variables:
        if "kernel" in variable.name:
            variable.regularizer = keras.regularizers.L1L2(l1, l2) if l1 or l2 else None


def _create_variables(model: keras.Model, multi_label: bool) -> None:
    """Create what optimizer and metrics need: made within the first step, it has that traced twice."""
    model.optimizer.build(model.trainable_variables)
    logits = keras.tree.map_structure(lambda o: np.zeros((1, *o.shape[1:]), "float32"), model.output)
    some = next(iter(logits.values())) if isinstance(logits, dict) else logits
    labels = np.zeros(some.shape if multi_label else 1, "int32")
    model.compute_metrics(None, labels, logits)
    model.reset_metrics()


def validate(network: keras.Model, choices: Choices, data: Data, settings: Fit) -> tuple[float, float]:
    """Return accuracy (of several labels, the share of all right) and loss on validation pictures."""
    model = assemble(network, choices.scaling)
    measured = metrics(choices.multi_label)
    model.compile(loss=Loss(choices.loss, choices.multi_label), metrics=measured)
    batches = evaluation_batches(data.splits["val"], settings.batch_size)
    found = model.evaluate(batches, verbose=0, return_dict=True)
    return found[measured[0].__name__], found["loss"]


def save_keras(run: Run, network: keras.Model, scaling: str | Standardize) -> None:
    """Write the network as a plain Keras file that opens without this package, raw pixels to logits."""
    model = assemble(network, scaling)  # a new one: the one that was trained would save its optimizer
    with replaced(run.keras) as path:
        to_stock(model).save(path)
