"""The way from pictures to a run folder with report and exports: once for fit, per fold for crossval."""

import shutil
import signal
import sys
from collections.abc import Callable

from cnn_keras.preprocessing import assemble
from cnn_keras.tables import as_text
from training.data.sources import Source
from training.engine import features, plan, regime
from training.engine.announce import announce, conclude
from training.engine.callbacks import BestWeights, as_csv
from training.engine.checkpoint import Checkpoint
from training.engine.setup import set_up
from training.report.evaluation import headline, judge, write_report
from training.runs import checkpoints, folder, resume
from training.runs.command import DONE, GATE_NOT_MET, INTERRUPTED, log
from training.runs.files import write_text
from training.runs.model import in_float32
from training.runs.settings import Fit


def train(
    settings: Fit,
    source: Source,
    on_device: str,
    keeper: Callable[..., BestWeights] = BestWeights,
) -> int:
    """Train, report, export.

    Args:
        settings: The settings; `out` and `name` say where the run goes.
        source: The pictures, split.
        on_device: What it runs on, in words.
        keeper: Makes what keeps the best weights. Where it writes none, as in a search, there is nothing
            to report or to export, and an interruption is passed on.

    Returns:
        The exit status: done, interrupted, or an export that does not agree.

    Raises:
        InputError: If settings and pictures do not go together.
        RuntimeError: If the loss is not finite from the start.
    """
    if settings.resume:
        run = folder.Run(settings.resume)
        lock = checkpoints.lock(run)  # until this function returns
        folder.keep_log(run.path)
        checkpoints.sweep(run)
        saved = checkpoints.newest(run)
    begun = set_up(settings, source)
    choices, trained, network, data = begun.choices, begun.trained, begun.network, begun.data
    model = assemble(network, choices.scaling)
    found = {
        "resolved": choices.as_json() | {"jpegs": "crops" if data.to_augment.jpegs else "whole"},
        "pictures": {name: split.fingerprint for name, split in data.splits.items()},
    }
    if settings.resume:
        resume.check_unchanged(run, **found)
    else:
        run, saved = folder.create(settings.out, settings.name, settings.arch, source.name), None
        lock = checkpoints.lock(run)
        resume.write_settings(run, settings, **found, fold=source.fold)
    announce(settings, choices, data, network, on_device, run)

    def card(**entries):
        return folder.write_card(run, **plan.card_entries(settings, choices, data), **entries)

    # --- fit --------------------------------------------------------------------------------------
    best = keeper(
        network,
        run,
        len(data.splits["val"]),
        latest=not choices.fine_tune,
        score="exact_match" if choices.multi_label else "accuracy",
    )
    checkpoint = Checkpoint(run, settings.checkpoint_every if best.writes else None, saved, best)
    if saved:
        log.info("goes on %s", saved.place.in_words())
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # both end the fit in good order
    try:
        _fit(settings, choices, data, trained, network, run, best, checkpoint)
        status = _report_and_export(run, settings, choices, data, network, model, best, card)
    except KeyboardInterrupt:
        if not best.writes:
            raise
        if not checkpoint.any and not settings.resume:
            log.info("interrupted before the first step: nothing is kept")
            shutil.rmtree(run.path)
            return INTERRUPTED
        _interrupted(run, best, checkpoint, card)
        _say_how(run, source)
        return INTERRUPTED
    except OSError:
        _say_how(run, source)
        raise
    if best.writes:
        checkpoints.finish(run, status)
    lock.close()
    return status


def _fit(settings, choices, data, trained, network, run, best, checkpoint) -> None:
    """Train, from the beginning or from where the checkpoint was written."""
    if checkpoint.done:
        return
    if choices.train_head and not checkpoint.saved:
        log.info("training the head on frozen features")
        how = choices.head, choices.policy
        rows = features.train_head(network, choices.scaling, data, settings, *how)
        if not choices.epochs:
            write_text(run.history, as_csv(rows))
    if choices.epochs:
        both = assemble(trained, choices.scaling)
        regime.train(both, network, data, settings, choices, run, best, checkpoint)
    else:
        score_loss = regime.validate(network, choices, data, settings)
        best.offer(*score_loss, epoch=0)
    checkpoint.finish()


def _report_and_export(run, settings, choices, data, network, model, best, card) -> int:
    """Judge the best weights, write the report and the exports; return the exit status."""
    if best.best is None:
        raise RuntimeError("the loss became infinite or NaN in the first epoch; try a lower --lr")
    if not best.writes:
        return DONE
    network.load_weights(run.weights)
    regime.save_keras(run, network, choices.scaling)
    card(metrics={}, best_epoch=best.best_epoch)  # from here on the run is of use, come what may
    model = in_float32(model)
    judged = judge(model, data)
    metrics = {part: headline(numbers) for part, (numbers, _) in judged.items()}
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


def _interrupted(run, best, checkpoint, card) -> None:
    """Leave a run that later commands can use, if there are weights already."""
    if checkpoint.done:
        log.info("interrupted when all was trained; report and exports are not complete")
    elif best.best is None:
        log.info("interrupted before the first epoch ended")
    else:
        log.info(
            "interrupted; the weights of epoch %d are in %s and can be evaluated, exported and used",
            *(best.best_epoch, run.path),
        )
    if best.best is not None and not folder.is_described(run):
        card(metrics={}, best_epoch=best.best_epoch)


def _say_how(run, source) -> None:
    if not source.fold:  # crossval says it itself
        log.info("%s", resume.how(run))
