"""What the steps make of the same tables, byte for byte."""

import hashlib
import os
import subprocess
import sys

from jukebox_helpers.settings import KIT

RECORDED = {
    "songs.parquet": "e2a6c17d0776bc7cae04b196bb01b7ab1ab13b0b060720774041b9218e24e2f9",
    "rankings.parquet": "1ba6744a538574c2af1029cafa9b703641bccbcbc599a7c58b095ca250f75dee",
    "features.parquet": "b43709c660879af83ba354a23b054b01da8fc005fe15afe86a084d8b1d55dc78",
    "counts.parquet": "67c9dd1042bfd95a4c6f6dabf89631551dcb548cd010ef20db4adbd74fc954a3",
    "model.joblib": "4e230225417570fc565cd648c7dfb7fc3b53036d1a004dc38e00c55475482606",
    "model.onnx": "54fb268f7718e040f451c633e01456231b465c016f4a47932439df8f51847419",
    "forward.json": "ecadbe96e546074ea642c4cfe90516f78ef9d448fd887402aa8f9c38d98c10e6",
    "report.json": "5a61bc7e47ff089f831c9e0b59b38d6adbbf05454489b2c55f03dcabbd094e3c",
    "cross.json": "c20e711fd0188c75e7ad823c6e5de0cae723b2fceb64e70fa63798b8a5507511",
    "transformed.parquet": "8cb4c1e94bd1d3a18d27f635b4dab383a8c1c5d62346f13908003f5002aeb427",
}
"""Digests of a small training from its tables to its report, with the packages of requirements.txt."""

SMALL_TRAINING = """
import json, os, sys
from jukebox_helpers.steps import cross_validation, evaluation, export, model, preparation, sample_data
from jukebox_helpers.steps import sample_rankings, tables
os.chdir(sys.argv[1])
prepared = "features.parquet", "counts.parquet"
sample_data.make_songs("songs.parquet", songs=600, seed=7)
sample_rankings.make_rankings("rankings.parquet", "songs.parquet", rows=30_000, seed=7, countries=6)
preparation.prepare("songs.parquet", "rankings.parquet", *prepared)
model.train(*prepared, {"epochs": 3}, "model.joblib")
model.forward_scores(*prepared, {"epochs": 3}, "forward.json")
export.export_onnx("model.joblib", "model.onnx", {"version": "x"})
evaluation.evaluate("model.onnx", *prepared, "model.onnx", {}, "report.json", "forward.json")
with open("cross.json", "w") as file:
    json.dump(cross_validation.cross_validate(*prepared, {"epochs": 2}), file)
tables.transform_songs("songs.parquet", "transformed.parquet")
"""


def test_a_small_training_gives_the_recorded_bytes(tmp_path):
    """A change of code that means to change no result changes none. With other packages, record them again."""
    # One set of instructions, which every machine has: others round in other ways.
    environment = {**os.environ, "OPENBLAS_CORETYPE": "Haswell", "NPY_DISABLE_CPU_FEATURES": "X86_V4"}
    command = [sys.executable, "-W", "ignore", "-c", SMALL_TRAINING, str(tmp_path)]
    subprocess.run(command, env=environment, cwd=KIT, check=True)
    assert {name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in RECORDED} == RECORDED
