"""`training.predict`: the engines agree, broken pictures do not end it."""

import json
import subprocess
import sys

import pytest


def predictions(process):
    found = [json.loads(line) for line in process.stdout.splitlines()]
    return {item["file"]: {t["class"]: t["probability"] for t in item["top"]} for item in found}


def test_the_engines_agree(digits_run, digit_files, cli):
    found = {}
    for engine in ("tflite", "saved_model", "keras"):
        words = (digits_run, digit_files, "--json", "--top", 10, "--engine", engine)
        process = cli("training.predict", *words)
        assert process.returncode == 0, process.stderr
        assert process.stderr == ""
        found[engine] = predictions(process)
    assert len(found["keras"]) == 40
    right = 0
    for file, expected in found["keras"].items():
        for engine in ("tflite", "saved_model"):
            for name, probability in expected.items():
                assert found[engine][file][name] == pytest.approx(probability, abs=1e-4)
        right += file.rsplit("/", 1)[-1][0] == max(expected, key=expected.get)
    assert right >= 36


def test_predict_with_tflite_imports_no_tensorflow(digits_run, digit_files):
    file = next(digit_files.iterdir())
    code = (
        "import sys\nfrom training import predict\n"
        f"assert predict.main([{str(digits_run)!r}, {str(file)!r}]) == 0\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)\n"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert str(file) in answer.stdout


def test_predict_goes_on_after_a_broken_picture(digits_run, digit_files, cli, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"x")
    good = sorted(digit_files.iterdir())[:2]
    process = cli("training.predict", digits_run, good[0], broken, good[1], "--json")
    assert process.returncode == 1
    lines = [json.loads(line) for line in process.stdout.splitlines()]
    assert sum("top" in line for line in lines) == 2
    assert [line["file"] for line in lines if "error" in line] == [str(broken)]
    assert str(broken) in process.stderr
    process = cli("training.predict", digits_run, good[0], broken, good[1])
    assert process.returncode == 1
    assert str(good[1]) in process.stdout
