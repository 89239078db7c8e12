"""The other side of `benchmarks.augment --torch`: a torch DataLoader over the same JPEGs with Pillow.

Needs torch, and torchvision for most policies; nothing of this project, so that it runs in a Python of
its own. For each line on the standard input, "WARM SECONDS", it runs that long and then counts; it
answers with pictures and seconds. Its first line says what it is.

    python benchmarks/torch_loader.py FOLDER/train POLICY SIZE STORED_SIZE
"""

import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch.utils.data import DataLoader, Dataset

try:
    import torchvision
    from torchvision.transforms import v2
except ImportError:
    torchvision = None

BATCH, WORKERS = 32, 2
Transform = Callable[[Image.Image], torch.Tensor]


def with_torchvision(policy: str, size: int, stored: int) -> Transform:
    """Return transforms of torchvision that do what a policy does."""
    square, flip = v2.Resize((size, size)), v2.RandomHorizontalFlip()
    steps = {
        "none": [square],
        "light": [square, flip, v2.RandomAffine(0, translate=(0.125, 0.125))],
        "digits": [square, v2.RandomAffine(10, translate=(0.08, 0.08))],
        "standard": [v2.RandomResizedCrop(size), flip, v2.ColorJitter(0.4, 0.4, 0.4)],
        "randaugment": [square, v2.RandAugment(2, 9, num_magnitude_bins=31)],
        "strong": [square, flip, v2.RandAugment(2, 9, num_magnitude_bins=31)],
        "trivial": [square, flip, v2.TrivialAugmentWide()],
        "alexnet": [v2.Resize((stored, stored)), v2.RandomCrop(size), flip],
        "vgg": [v2.RandomResizedCrop(size, ((7 / 16) ** 2, (7 / 8) ** 2), (1.0, 1.0)), flip],
        "inception": [v2.RandomResizedCrop(size), flip, v2.ColorJitter(0.5, 0.5, 0.5)],
        "cifar": [square, v2.Pad(size // 8), v2.RandomCrop(size), flip],
    }[policy]
    erasing = [v2.RandomErasing(0.5)] if policy == "strong" else []
    return v2.Compose([*steps, v2.PILToTensor(), *erasing])


def with_pillow(policy: str, size: int, stored: int) -> Transform:
    """Return the same for the policies that take a few lines of Pillow."""
    side = stored if policy == "alexnet" else size
    pad = size // 8 if policy in ("light", "cifar") else 0

    def applied(image: Image.Image) -> torch.Tensor:
        if policy == "standard":
            width, height = image.size
            share, aspect = random.uniform(0.08, 1), np.exp(random.uniform(-0.287, 0.287))
            w = min(width, (share * width * height * aspect) ** 0.5)
            h = min(height, (share * width * height / aspect) ** 0.5)
            x, y = random.uniform(0, width - w), random.uniform(0, height - h)
            image = image.resize((size, size), Image.Resampling.BILINEAR, (x, y, x + w, y + h))
        else:
            image = image.resize((side, side), Image.Resampling.BILINEAR)
        if policy != "none" and random.random() < 0.5:
            image = ImageOps.mirror(image)
        if pad:
            image = ImageOps.expand(image, pad)
        x, y = (random.randint(0, image.width - size) for _ in range(2))
        image = image.crop((x, y, x + size, y + size))
        if policy == "standard":
            for enhancer in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
                image = enhancer(image).enhance(random.uniform(0.6, 1.4))
        return torch.from_numpy(np.array(image)).permute(2, 0, 1)

    if policy not in ("none", "light", "standard", "alexnet", "cifar"):
        sys.exit(f"{policy} needs torchvision")
    return applied


class Pictures(Dataset):
    """The JPEGs below a folder, over and over."""

    def __init__(self, folder: Path, transform: Transform):
        """Take the classes from the names of the sub-folders."""
        self.files = sorted(folder.rglob("*.jpg"))
        self.classes = sorted({file.parent.name for file in self.files})
        self.transform = transform

    def __len__(self) -> int:
        """Say how many: without end."""
        return 1 << 40

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        """Decode and transform a random picture."""
        file = random.choice(self.files)
        return self.transform(Image.open(file).convert("RGB")), self.classes.index(file.parent.name)


def main() -> None:
    """Serve turns until the input ends."""
    folder, policy, size, stored = sys.argv[1:]
    made = with_torchvision if torchvision else with_pillow
    pictures = Pictures(Path(folder), made(policy, int(size), int(stored)))
    loader = DataLoader(pictures, BATCH, num_workers=WORKERS, sampler=iter(lambda: 0, 1))
    batches = iter(loader)
    kind = f"torchvision {torchvision.__version__}" if torchvision else "plain Pillow"
    print(f"torch {torch.__version__}, {kind}, {WORKERS} workers", flush=True)
    for line in sys.stdin:
        warm, seconds = map(float, line.split())
        end = time.perf_counter() + warm
        while time.perf_counter() < end:
            next(batches)
        start, count = time.perf_counter(), 0
        while time.perf_counter() < start + seconds:
            count += len(next(batches)[1])
        print(count, time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
