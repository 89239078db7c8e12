"""The way from pictures to a run folder with report and exports: once for fit, per fold for crossval."""

import shutil
import signal
import sys

import cnn_keras
from cnn_keras.preprocessing import assemble
from cnn_keras.tables import as_text
from training.data.cache import default_folder
from training.data.prepare import prepare
from training.data.sources import Source
from training.engine import plan, regime, transfer
from training.engine.announce import announce, conclude
from training.engine.callbacks import BestWeights, as_csv
from training.report.evaluation import judge, write_report
from training.runs import folder
from training.runs.command import DONE, GATE_NOT_MET, INTERRUPTED, log
from training.runs.files import write_json, write_text
from training.runs.model import in_float32
from training.runs.settings import Fit, as_json


def train(settings: Fit, source: Source, on_device: str) -> int:
    """Train, report, export.

    Args:
        settings: The settings; `out` and `name` say where the run goes.
        source: The pictures, split.
        on_device: What it runs on, in words.

    Returns:
        The exit status: done, interrupted, or an export that does not agree.

    Raises:
        InputError: If settings and pictures do not go together.
        RuntimeError: If the loss is not finite from the start.
    """
    choices = plan.choose(settings, source)

    # --- network: first, because what is wrong with it shows at once ------------------------------
    trained, features = plan.build_network(settings, choices, len(source.class_names))
    network = cnn_keras.without_auxiliary(trained)  # what is kept
    choices = plan.adapt(choices, network, features=features)

    # --- data -------------------------------------------------------------------------------------
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
    model = assemble(network, choices.scaling)
    run = folder.create(settings.out, settings.name, settings.arch, source.name)
    write_json(run.settings, as_json(settings) | {"resolved": choices.as_json()})
    announce(settings, choices, data, network, on_device, run)

    def card(**entries):
        return folder.write_card(run, **plan.card_entries(settings, choices, data), **entries)

    # --- fit --------------------------------------------------------------------------------------
    best = BestWeights(network, run, len(data.splits["val"]), latest=not choices.fine_tune)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # both end the fit in good order
    try:
        if choices.train_head:
            log.info("training the head on frozen features")
            splits = data.splits["train"], data.splits["val"]
            rows = transfer.train_head(network, choices.scaling, *splits, settings.batch_size)
            if not choices.epochs:
                write_text(run.history, as_csv(rows))
        if choices.epochs:
            both = assemble(trained, choices.scaling)
            regime.train(both, network, data, settings, choices, run, best)
        else:
            accuracy_loss = regime.validate(network, choices.scaling, data, settings)
            best.offer(*accuracy_loss, epoch=0)
    except KeyboardInterrupt:
        return _interrupted(run, best, card)

    if best.best is None:
        raise RuntimeError("the loss became infinite or NaN in the first epoch; try a lower --lr")

    # --- report -----------------------------------------------------------------------------------
    network.load_weights(run.weights)
    regime.save_keras(run, network, choices.scaling)
    card(metrics={}, best_epoch=best.best_epoch)  # from here on the run is of use, come what may
    model = in_float32(model)
    judged = judge(model, data)
    metrics = {part: {k: m[k] for k in ("top1", "top5", "loss", "n")} for part, (m, _) in judged.items()}
    written = card(metrics=metrics, best_epoch=best.best_epoch)
    write_report(run.path, run.path.name, written, data, judged, run.history)

    # --- export -----------------------------------------------------------------------------------
    failed = []
    if settings.export != "none":
        from training.phone.export import export_run
        from training.phone.summary import summarise

        tflite = settings.export == "all" or plan.suits_phones(settings.arch, network)
        failed = export_run(run, written, model, data, tflite=tflite)
        log.info("\n%s", as_text(summarise(run.export)))
        write_report(run.path, run.path.name, written, data, judged, run.history)  # now with the exports
    conclude(run.path, judged, best.best_epoch, choices)
    if failed:
        for text in failed:
            print(f"error: {text}", file=sys.stderr)
        return GATE_NOT_MET
    return DONE


def _interrupted(run, best, card) -> int:
    """Leave a run that later commands can use, if there are weights already."""
    if best.best is None:
        log.info("interrupted before the first epoch ended: nothing is kept")
        shutil.rmtree(run.path)
        return INTERRUPTED
    card(metrics={}, best_epoch=best.best_epoch)
    log.info(
        "interrupted; the weights of epoch %d are in %s and can be evaluated, exported and used",
        best.best_epoch,
        run.path,
    )
    return INTERRUPTED
