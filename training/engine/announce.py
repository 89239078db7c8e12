"""What a fit says before and after: the plan, the figures, where everything is."""

from pathlib import Path

import keras
import numpy as np

from cnn_keras import analysis
from cnn_keras.tables import as_text
from training.data import augment
from training.data.prepare import Data
from training.engine.callbacks import RULES
from training.engine.plan import Choices
from training.runs.command import log
from training.runs.files import printable, write_table
from training.runs.folder import Run
from training.runs.settings import Fit

SHARES = {"top1": "top-1", "top5": "top-5", "macro_f1": "macro F1"}
MULTI_LABEL_SHARES = {
    "mean_average_precision": "mean AP",
    "micro_f1": "micro F1",
    "macro_f1": "macro F1",
    "exact_match": "all labels right",
}


def announce(
    settings: Fit, choices: Choices, data: Data, network: keras.Model, on_device: str, run: Run
) -> None:
    """Say what is going to happen, and what was found in the data."""
    size = choices.image_size
    counts = ", ".join(f"{len(split):,} {name}" for name, split in data.splits.items())
    knobs = "".join(f", {k}={v}" for k, v in settings.knobs.items())
    knobs += f", head={settings.head}" * (settings.head != "paper")
    classes = len(data.class_names)
    shown = ", ".join(data.class_names[:8]) + (", ..." if classes > 8 else "")
    params, macs = analysis.count_params(network), analysis.count_macs(network)
    lines = {
        "network": f"{settings.arch}{knobs}: {params:,} parameters, {macs / 1e6:,.1f} M MACs",
        "input": f"{size} x {size} x {choices.channels} pixels, scaled '{choices.scaling}'",
        "images": f"{counts} from {settings.data}",
        "cache": data.cache,
        "classes": f"{classes}: {shown}" + (", any number a picture" if choices.multi_label else ""),
        "weights": settings.weights or f"random, seed {settings.seed}",
        "training": _plan(settings, choices),
        "device": on_device,
        "run": str(run.path),
    }
    for name, text in lines.items():
        log.info("%-9s %s", name, printable(text))
    for notice in data.source.notices:
        log.warning("note: %s", printable(notice))
    if augment.mirrors(choices.policy) and choices.epochs and not data.source.mirrored:
        log.warning("note: --augment %s mirrors, but these are not their class mirrored", choices.policy)
    if data.left_out:
        write_table(run.left_out, [("file", "reason"), *((b.name, b.reason) for b in data.left_out)])
        log.warning("note: %d broken picture(s) left out, see %s:", len(data.left_out), run.left_out)
        for bad in data.left_out[:5]:
            log.warning("  %s: %s", printable(bad.name), bad.reason)


def _plan(settings: Fit, choices: Choices) -> str:
    """Say in words what is trained and how."""
    seen = "frozen features"
    if choices.head.passes:
        seen += f" of {choices.head.passes} augmented pass(es), {choices.policy}"
    if not choices.epochs:
        return f"the head alone, on {seen}"
    how = (
        f"{choices.epochs} epochs of {settings.batch_size}, {choices.optimizer}, learning rate "
        f"{choices.lr:g} after {choices.warmup_epochs:g} epoch(s) of warm-up, {choices.schedule}; "
        f"augmentation {choices.policy}"
    )
    mixed = {"MixUp": settings.mixup, "CutMix": settings.cutmix}
    how += "".join(f", {name} {alpha:g}" for name, alpha in mixed.items() if alpha)
    if choices.layer_decay not in (None, 1):
        how += f"; the rate times {choices.layer_decay:g} from each block to the one before it"
    if settings.unfreeze_epochs:
        how += f"; all blocks learn from epoch {settings.unfreeze_epochs} on"
    if choices.frozen:
        how += f"; frozen up to {choices.frozen[-1]}"
    return f"head on {seen}, then {how}" if choices.train_head else how


def conclude(
    folder: Path, judged: dict[str, tuple[dict, np.ndarray]], best_epoch: int | None, choices=None
) -> None:
    """Print the table of metrics and where everything is.

    Args:
        folder: Has the report, and perhaps exports.
        judged: What `training.report.evaluation.judge` returned.
        best_epoch: Epoch of the weights; 0 for those that fine-tuning started from.
        choices: Those of the fit.
    """
    words = {"test": "test", "val": "validation"}
    multi_label = all("exact_match" in numbers for numbers, _ in judged.values())
    shares = MULTI_LABEL_SHARES if multi_label else SHARES
    if all(len(numbers["classes"]) <= 5 for numbers, _ in judged.values()):
        shares = {k: v for k, v in shares.items() if k != "top5"}  # of five classes it is always right
    table = [("pictures", "n", *shares.values(), "loss")]
    for part, (numbers, _) in judged.items():
        cells = (f"{100 * numbers[k]:.2f} %" for k in shares)
        table.append((words[part], f"{numbers['n']:,}", *cells, f"{numbers['loss']:.4f}"))
    log.info("\n%s\n", as_text(table))
    if best_epoch:
        score = "share of pictures with all labels right" if choices.multi_label else "accuracy"
        log.info("weights of epoch %d: %s", best_epoch, RULES[not choices.fine_tune].format(score=score))
    elif choices and choices.epochs:
        log.info("weights: as given, with the new head; no epoch of fine-tuning was better")
    places = {"run": folder, "report": folder / "report.html", "exports": folder / "export"}
    for name, path in places.items():
        if path.exists():
            log.info("%-9s %s", name, path)
