"""The flags of `fit` in the groups in which its help shows them; commands that train share them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from training.runs.flags import DATA, Alpha, Augmentation, Count, Debug, Number, Pixels, Text

Optimizer = Literal[
    "auto",
    *("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw", "nadam", "lion", "muon"),
    "lamb",
]
Schedule = Literal[
    *("constant", "step", "exponential", "polynomial", "cosine", "warm-restarts", "one-cycle"),
    "plateau",
]
Freeze = Annotated[
    Literal["auto", "backbone", "none"] | int, tyro.conf.arg(metavar="auto|backbone|none|N")
]
Loss = Literal["auto", "cross-entropy", "binary", "focal", "hinge", "class-balanced"]


@dataclass(frozen=True, kw_only=True)
class Main:
    """What most people need."""

    arch: Annotated[str, tyro.conf.arg(metavar="NAME")] = "mobilenet_v2"
    """Network; `python -m cnn_keras` lists them."""
    data: Annotated[str, tyro.conf.arg(metavar=DATA)] = "digits"
    """Pictures: scikit-learn's scanned digits (no download), a folder with one sub-folder a class, a
    folder with train/ val/ [test/] of them, a .csv file (path,label[,split][,group]; several labels
    separated by |), a .npz file (x, y), a set of TensorFlow Datasets, or a Python function that returns
    pictures."""
    weights: Annotated[str | None, tyro.conf.arg(metavar="imagenet|FILE")] = None
    """Start from these weights instead of random ones: the official ImageNet weights (downloaded), or a
    .weights.h5, .h5 or .keras file, or torchvision's .pth. The head is trained first, then the network
    is fine-tuned. Scaling and switches that belong to them are chosen with them."""
    image_size: Pixels = None
    """Side of the square pictures that the network sees; by default chosen by network and pictures."""
    epochs: Count = None
    """Passes over the training pictures; by default 25, 60 for very small networks, or 10
    of fine-tuning."""
    batch_size: Annotated[int, tyro.conf.arg(metavar="N")] = 32
    """Pictures a training step."""
    lr: Number = None
    """Largest learning rate; by default chosen by optimizer and kind of training."""
    name: Text = None
    """Name of the run folder; by default made of network, data and time."""
    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = Path("saved_models")
    """Where run folders are."""


@dataclass(frozen=True, kw_only=True)
class Network:
    """Switches of the network."""

    alpha: Number = None
    """Width multiplier of the MobileNets; the same as --knob alpha=X."""
    dropout: Number = None
    """Share of the features dropped before the classifier; the same as --knob dropout=X."""
    head: Literal["paper", "gap", "flatten", "conv1x1"] = "paper"
    """Classifier: the paper's own, or on the last feature map: gap averages it (one weight a channel and
    class), flatten has a weight for every place, conv1x1 makes a map of every class and averages it."""
    knob: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="NAME=VALUE")] = ()
    """Any other switch of the network, e.g. dropout=0.2; repeatable. `python -m cnn_keras NAME` shows
    them."""


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """How pictures are read and varied."""

    augment: Augmentation = "auto"
    """Augmentation: light mirrors and shifts, digits shifts and rotates; auto is digits for characters
    and light for everything else. standard crops, mirrors and changes colours; strong is RandAugment and
    random erasing; trivial is TrivialAugment; the others are the papers'. `python -m training.preview`
    shows them."""
    mixup: Alpha = None
    """MixUp: train on means of two pictures and of their labels, weighed by Beta(ALPHA, ALPHA); 0.2, for
    instance."""
    cutmix: Alpha = None
    """CutMix: paste a box of another picture, and its label by the area, from Beta(ALPHA, ALPHA); 1, for
    instance. With --mixup too, each batch gets one of the two."""
    channels: Annotated[int | None, tyro.conf.arg(metavar="1|3")] = None
    """Channels that the network sees; by default 3, or 1 where network and pictures are grey."""
    preprocessing: Literal["auto", "tf", "caffe", "torch", "unit", "standardize", "none"] = "auto"
    """Scaling of the pixels: auto is the network's own, tf to -1..1, unit to 0..1, torch and caffe as
    these do, standardize to mean 0 and variance 1 a channel, as measured on the training pictures."""
    data_dir: Annotated[str | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Where TensorFlow Datasets keeps its files; archives under FOLDER/downloads/manual need no
    network."""
    cache: Literal["auto", "memory", "disk", "none"] = "auto"
    """Where decoded pictures are kept: auto is memory where they fit into a quarter of it, else disk
    where they take at most half of what is free, else none: each epoch decodes the
    crops of JPEG files anew, a little sharper, and other pictures whole."""
    cache_dir: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Where --cache disk is; by default ~/.cache/cnn_keras. Everything there may be deleted."""
    on_bad_image: Literal["skip", "fail"] = "skip"
    """Leave broken pictures out and list them in the run, or stop at the first."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """How the network is trained."""

    freeze: Freeze = "auto"
    """With --weights: auto trains the head on frozen features, then fine-tunes; backbone stops after the
    head; a number N does as auto, but the first N blocks, counted from the picture, never learn; none
    fine-tunes at once with a fresh head."""
    unfreeze_epochs: Count = None
    """Gradual unfreezing: in fine-tuning the blocks begin to learn one after the other over the first N
    epochs, from the classifier to the picture."""
    augmented_passes: Count = None
    """For the head on frozen features: features of N augmented passes over the training pictures instead
    of one over the pictures as they are."""
    stage_by_stage: bool = False
    """With --knob aux=True: train up to the first auxiliary classifier, then up to the next, then to the
    end, instead of all of them at once."""
    seed: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """Decides the splits, the initial weights, the order and the augmentation. The same seed gives the
    same bytes on a CPU."""
    precision: Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"] = "auto"
    """auto is float32 on a CPU and mixed_float16 on a GPU."""


@dataclass(frozen=True, kw_only=True)
class Optimization:
    """How the weights are changed."""

    optimizer: Optimizer = "auto"
    """auto is adamw for training from scratch and nesterov (SGD with momentum 0.9) for fine-tuning."""
    layer_decay: Number = None
    """Factor of the learning rate from each block to the one before it, counted from the classifier,
    e.g. 0.9; by default 1 from scratch, and in fine-tuning what leaves the first block a twentieth."""
    schedule: Schedule = "cosine"
    """How the learning rate goes on after its rise: step divides it by 10 after each third, plateau
    where the validation loss stops falling."""
    warmup_epochs: Number = None
    """Epochs over which the learning rate rises; by default 1, or 30 % of them for one-cycle."""
    weight_decay: Number = None
    """Decoupled weight decay of kernels (not of biases and normalisation)."""
    l1: Annotated[float, tyro.conf.arg(metavar="X")] = 0.0
    """Add so much of the sum of all kernels' absolute values to the loss."""
    l2: Annotated[float, tyro.conf.arg(metavar="X")] = 0.0
    """The same of their squares."""
    clip_norm: Number = None
    """Largest norm of all gradients together; by default 1 in fine-tuning and for recurrent networks,
    else none."""
    clip_value: Number = None
    """Largest value of each gradient."""
    accumulate: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Batches whose gradients are averaged for one update."""
    loss: Loss = "auto"
    """auto is cross-entropy, and binary for pictures with several labels, which take no other but focal.
    binary trains each class against all others, focal counts less what is right already, hinge asks for
    a margin, class-balanced weighs classes by their effective number of pictures."""
    class_weight: Literal["none", "balanced"] = "none"
    """balanced: all classes weigh the same, however many pictures they have; with several labels a
    picture, those with a label weigh as much as those without it."""
    label_smoothing: Annotated[float, tyro.conf.arg(metavar="X")] = 0.0
    """Share of every target that is spread over all classes, e.g. 0.1."""
    early_stop: Count = None
    """End when the best epoch is so many epochs ago."""
    ema: Number = None
    """Keep a moving average of the weights with this momentum, e.g. 0.99; it is what is validated and
    kept."""


@dataclass(frozen=True, kw_only=True)
class Output:
    """What happens after the training."""

    export: Literal["auto", "all", "none"] = "auto"
    """After training: auto exports a SavedModel and, for MobileNets and networks
    under 20 MB, TFLite files."""
    debug: Debug = False


@dataclass(frozen=True, kw_only=True)
class Interruption:
    """Going on after Ctrl-C, a crash or a loss of power."""

    resume: Annotated[Path | None, tyro.conf.arg(metavar="RUN")] = None
    """Go on with this interrupted run, exactly as if it had not been interrupted. Everything else is
    taken from its settings.json: no other flag goes with it."""
    checkpoint_every: Annotated[float, tyro.conf.arg(metavar="MINUTES")] = 10.0
    """How often all that a resume needs is written, beside the end of every epoch."""
