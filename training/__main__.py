"""`cnn-keras COMMAND ...`, the same as `python -m training.COMMAND ...`."""

import importlib
import sys
from collections.abc import Sequence

COMMANDS = {
    "check_data": "find the trouble in a folder of pictures before training",
    "fit": "train a network on pictures",
    "crossval": "train on folds or bootstrap samples and sum up how good a network is",
    "lr_find": "find a learning rate by the range test",
    "search": "search the settings of fit, or draw what one of them does",
    "evaluate": "judge a run and write its report",
    "preview": "draw pictures beside their augmented versions",
    "export": "write a run as SavedModel and TFLite files, with proof that they agree",
    "predict": "classify pictures with a run",
    "benchmark": "measure how long a run's files take for one picture",
    "networks": "show the catalogue of networks, or one network layer by layer",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that the first argument names and return its exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help"):
        print("usage: cnn-keras COMMAND ...\n")
        print("\n".join(f"  {name:10} {text}" for name, text in COMMANDS.items()))
        print("\n`cnn-keras COMMAND --help` shows the flags of a command.")
        return 0 if words else 2
    name = words[0]
    if name not in COMMANDS:
        print(f"error: there is no command '{name}'. There are {', '.join(COMMANDS)}.", file=sys.stderr)
        return 2
    module = "cnn_keras.__main__" if name == "networks" else f"training.{name}"
    return importlib.import_module(module).main(words[1:])


if __name__ == "__main__":
    sys.exit(main())
