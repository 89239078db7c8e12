"""Which networks fit a budget."""

import subprocess
import sys
import time

import pytest

import cnn_keras
from cnn_keras import analysis, budget
from cnn_keras.__main__ import main


def listed(conditions, names=None):
    found = budget.fitting(budget.parse(conditions), names)
    return {(point.name, point.switches, point.size) for point in found}


def test_the_mobile_nets_under_60_million_macs_and_2_million_parameters():
    """By hand from TF-slim's tables: v2 0.5-160 has 50 M MACs, 0.5-192 has 72; v1 0.5-128 has 49."""
    small = {name for name, *_ in listed("macs<60M,params<2M")}
    assert small == {
        *("mobilenet_v1", "mobilenet_v2", "resnet20", "lenet5", "lenet", "linear", "mlp"),
        *("tdnn", "ar", "narx", "rnn", "lstm", "gru"),
    }
    assert listed("macs<60M,params<2M", ["mobilenet_v2"]) == {
        *(("mobilenet_v2", "alpha=0.5", size) for size in (96, 128, 160)),
        *(("mobilenet_v2", "alpha=0.35", size) for size in (96, 128, 160, 192, 224)),
    }
    assert listed("macs<60M,params<2M", ["mobilenet_v1"]) == {
        ("mobilenet_v1", "alpha=0.5", 128),
        *(("mobilenet_v1", "alpha=0.25", size) for size in (128, 160, 192, 224)),
    }


def test_every_kind_of_condition():
    assert listed("params=60000") == {("lenet5", "sparse_c3=True", 32)}
    assert listed(" SIZE >= 299 , macs<10G") == {
        ("inception_v3", "", 299),
        ("inception_v3", "bn_scale=True", 299),
    }
    assert listed("macs<=0.01024M") == listed("macs<10.241k") == {("linear", "", 32)}
    assert listed("top1>99") == {("lenet5", "sparse_c3=True", 32)}
    assert {name for name, *_ in listed("year<2012,top1>0")} == {"lenet5"}
    assert listed("top5>95", ["inception_v4"]) == {("inception_v4", "", 299)}
    assert listed("macs<1") == set()


def test_the_most_accurate_comes_first_in_each_data_set():
    points = budget.fitting(budget.parse("params<2M"))
    datasets = list(dict.fromkeys(point.dataset for point in points))
    assert datasets[0] == "ImageNet"
    assert datasets[-1] == ""
    for dataset in datasets[:-1]:
        accuracies = [point.top1 for point in points if point.dataset == dataset]
        assert accuracies == sorted(accuracies, reverse=True)
        assert all(point.source for point in points if point.dataset == dataset)


@pytest.mark.parametrize(("alpha", "size"), [(0.35, 96), (0.5, 160), (0.75, 128)])
def test_rows_are_what_is_built(alpha, size):
    point = next(
        p for p in budget.points(["mobilenet_v2"]) if (p.switches, p.size) == (f"alpha={alpha}", size)
    )
    model = cnn_keras.build("mobilenet_v2", (size, size, 3), alpha=alpha)
    assert (point.params, point.macs) == (analysis.count_params(model), analysis.count_macs(model))


def test_mobile_nets_of_every_published_width_and_size():
    """TF-slim: 4 x 4 for v1; for v2 four widths at five sizes and two wider ones."""
    sizes = {"mobilenet_v1": (224, 192, 160, 128), "mobilenet_v2": (224, 192, 160, 128, 96)}
    widths = {"mobilenet_v1": (1.0, 0.75, 0.5, 0.25), "mobilenet_v2": (1.0, 0.75, 0.5, 0.35)}
    for name in sizes:
        expected = {(f"alpha={a}", size) for a in widths[name] for size in sizes[name]}
        if name == "mobilenet_v2":
            expected |= {("alpha=1.3", 224), ("alpha=1.4", 224)}
        found = {(p.switches, p.size) for p in budget.points([name]) if p.switches.startswith("alpha")}
        assert found == expected
    printed = {224: 300, 192: 221, 160: 154, 128: 99, 96: 56}
    points = {p.size: p for p in budget.points(["mobilenet_v2"]) if p.switches == "alpha=1.0"}
    assert {size: int(point.macs / 1e6) for size, point in points.items()} == printed


def test_counts_of_switched_networks_are_their_own():
    """A point with switches that change the counts must give them; None is the plain network's."""
    for name in cnn_keras.names():
        variant = cnn_keras.get(name)
        for point in variant.published:
            if point.image_size not in (None, variant.input_size) or "depth" in point.knobs:
                assert point.macs, (name, point)


@pytest.mark.parametrize(
    "text", ["macs", "macs<", "macs<60X", "speed<3", "macs!3", "", "macs<1M,", "macs<-1"]
)
def test_wrong_conditions_are_explained(text, capsys):
    assert main(["--budget", text]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: --budget takes conditions such as macs<60M")
    assert len(error.splitlines()) == 1


def test_on_the_command_line(capsys):
    assert main(["--budget", "macs<60M,params<2M"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == [
        *("network", "switches", "size", "parameters", "MACs", "(M)", "top-1", "top-5", "of", "source")
    ]
    assert lines[2].split()[:6] == ["mobilenet_v2", "alpha=0.5", "160", "1,968,680", "50.18", "61"]
    assert main(["lenet5", "--budget", "macs<1"]) == 0
    assert "No network" in capsys.readouterr().out
    assert main(["lenet6", "--budget", "macs<1"]) == 2
    assert "Did you mean" in capsys.readouterr().err
    assert main(["--budget", "macs<1", "--image-size", "96"]) == 2
    assert "--image-size does not go with --budget" in capsys.readouterr().err


@pytest.mark.parametrize("flags", [["--budget", "macs<60M"], [], ["--help"]])
def test_loads_no_tensorflow(flags):
    code = (
        "import sys\nfrom cnn_keras.__main__ import main\n"
        f"try:\n    main({flags})\nexcept SystemExit:\n    pass\n"
        "sys.exit(any(name in sys.modules for name in ('keras', 'tensorflow')))"
    )
    started = time.perf_counter()
    process = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert process.stdout
    assert time.perf_counter() - started < 10
