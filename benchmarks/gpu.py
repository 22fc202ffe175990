"""The query experts up a ladder of batch sizes on a GPU, and the fraction of the roofline that is reached.

``python -m benchmarks.gpu [--quick] [--device cpu] --json FILE``

Prepared for an H200; needs onnxruntime-gpu (``requirements/gpu.txt``). Where there is no GPU it says so,
writes a report without claims, and ends with 0. ``--device cpu`` runs the same ladder on the CPU, to see
that the benchmark itself works: it makes no claims either.

Inputs and outputs stay on the device (IO binding); the time is that of ``run_with_iobinding``, which waits
for the device. The roofline of a batch is the longer of its multiplications (of MatMul and Gemm, counted in
the graph) at the device's peak and of its bytes (weights, inputs and outputs once) at its bandwidth.

It prints a line for each precision and batch size, 1 to 8192 (to 256 with ``--quick``), such as::

    fp16      512      1234567 queries/s       414.7 us    41.50% of the roofline

and writes, besides claims and machine::

    "runs": {"device": "NVIDIA H200", "providers": ["CUDAExecutionProvider", ...], "measured": true,
             "ladder": [{"precision", "batch", "queries_per_s", "us", "gflop", "mb", "roofline"}, ...]}

(the numbers of the line only show the form). It asserts for each precision

- that the graph runs on CUDA: onnxruntime falls back to the CPU in silence;
- that outputs of up to 64 queries differ from the CPU's fp32 by at most 0.02;
- that the best batch brings at least 20 x the queries/s of batch 1;
- that up to the best batch no step has less than 0.9 of the queries/s of the one before.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from artifacts.bundle import Bundle, TextBatch, open_graph
from artifacts.bundle.graphs import GraphError
from artifacts.bundle.manifest import Precision
from artifacts.bundle.signatures import expert_inputs
from benchmarks.report import Claim, arguments, finish
from cli.demo_files import demo_bundle

TOKENS, WORDS, NGRAMS = 8, 5, 20
#: Peak Tflop/s by precision without sparsity, and TB/s, from the vendors' data sheets.
PEAKS = {
    "H200": {"fp32": 67.0, "fp16": 989.0, "tb_s": 4.8},
    "H100": {"fp32": 67.0, "fp16": 989.0, "tb_s": 3.35},
    "A100": {"fp32": 19.5, "fp16": 312.0, "tb_s": 2.0},
    "L4": {"fp32": 30.3, "fp16": 121.0, "tb_s": 0.3},
}
SHAPE = "runs.ladder: [{precision, batch, queries_per_s, us, roofline}], runs.device, runs.providers"


def gpu_name() -> str | None:
    """What nvidia-smi calls the first GPU."""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return None
    return next(iter(done.stdout.splitlines()), None)


def inputs_of(bundle: Bundle, batch: int) -> dict[str, np.ndarray]:
    """Full rows of random ids: no row is cheaper than another."""
    rng = np.random.default_rng(batch)
    vocabulary = bundle.text._tokenizer.get_vocab_size()  # a benchmark may look inside
    buckets = bundle.manifest.text.ngram_buckets
    text = TextBatch(
        rng.integers(5, vocabulary, (batch, TOKENS)), rng.integers(1, buckets, (batch, WORDS, NGRAMS))
    )
    return dict(expert_inputs(text, (), bundle.manifest.picture.feature_dim))


def cost(path: Path, inputs: dict[str, np.ndarray]) -> tuple[float, float]:
    """Floating-point operations of the matrix products of one run, and bytes of the weights that it reads.

    The shapes are those that really occur: every product's operands are made outputs of a run on the CPU.
    """
    import onnx

    model = onnx.load(str(path))
    graph = model.graph
    weights = {weight.name: weight for weight in graph.initializer}
    products = [node for node in graph.node if node.op_type in ("MatMul", "Gemm")]
    seen = {name for node in products for name in (node.input[0], node.output[0])}
    seen -= set(weights) | {value.name for value in (*graph.input, *graph.output)}
    graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in sorted(seen))
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    shapes = {name: value.shape for name, value in zip(names, session.run(None, inputs), strict=True)}
    shapes |= {name: tuple(weight.dims) for name, weight in weights.items()}
    shapes |= {name: value.shape for name, value in inputs.items()}
    flops = 0.0
    for node in products:
        transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
        inner = shapes[node.input[0]][0 if transposed else -1]
        flops += 2.0 * float(np.prod(shapes[node.output[0]])) * inner
    # Of an embedding table only the rows that are looked up are read; tables are the inputs of Gather.
    tables = {node.input[0] for node in graph.node if node.op_type == "Gather"}
    read = sum(onnx.numpy_helper.to_array(w).nbytes for name, w in weights.items() if name not in tables)
    return flops, float(read)


def bound(session: ort.InferenceSession, inputs: dict[str, np.ndarray], device: str) -> ort.IOBinding:
    """Inputs and outputs on the device."""
    binding = session.io_binding()
    for name, value in inputs.items():
        binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(value, device, 0))
    for output in session.get_outputs():
        binding.bind_output(output.name, device)
    return binding


def nbytes(value: ort.OrtValue) -> int:
    """Bytes of a float array, wherever it is."""
    return int(np.prod(value.shape())) * (2 if "float16" in value.data_type() else 4)


def climb(
    bundle: Bundle,
    precision: Precision,
    device: str,
    batches: list[int],
    seconds: float,
    peak: dict[str, float],
) -> tuple[list[dict[str, Any]], float]:
    """The ladder of one precision, and the largest difference from fp32 on the CPU."""
    path = bundle.graph("query_experts", precision)
    session = open_graph(path, device=device).session
    reference = open_graph(bundle.graph("query_experts"))
    steps, worst = [], 0.0
    flops_each, weights = cost(path, inputs_of(bundle, 1))
    for batch in batches:
        inputs = inputs_of(bundle, batch)
        binding = bound(session, inputs, device)
        for _ in range(5):
            session.run_with_iobinding(binding)
        times: list[float] = []
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or len(times) < 10:
            began = time.perf_counter()
            session.run_with_iobinding(binding)
            times.append(time.perf_counter() - began)
        if batch <= 64:
            out = binding.copy_outputs_to_cpu()[0].astype(np.float32)
            worst = max(worst, float(np.abs(out - reference.run(inputs)["experts"]).max()))
        took = statistics.median(times)
        flops, moved = flops_each * batch, weights + sum(value.nbytes for value in inputs.values())
        moved += sum(nbytes(value) for value in binding.get_outputs())
        step: dict[str, Any] = {"precision": precision, "batch": batch, "us": round(took * 1e6, 1)}
        step |= {
            "queries_per_s": round(batch / took),
            "gflop": round(flops / 1e9, 4),
            "mb": round(moved / 1e6, 3),
        }
        if peak:
            least = max(flops / (peak[precision] * 1e12), moved / (peak["tb_s"] * 1e12))
            step["roofline"] = round(least / took, 4)
        steps.append(step)
        share = f"{step['roofline']:>9.2%} of the roofline" if peak else ""
        print(f"{precision:<6}{batch:>7}{step['queries_per_s']:>12} queries/s{step['us']:>12} us{share}")
    return steps, worst


def claims_of(steps: list[dict[str, Any]], worst: float, precision: str) -> list[Claim]:
    """What is asserted of one precision."""
    rates = [step["queries_per_s"] for step in steps]
    top = int(np.argmax(rates))
    falls = [1 - after / before for before, after in pairwise(rates[: top + 1])]
    return [
        Claim.at_most(f"{precision}: largest difference from fp32 on the CPU", worst, 0.02),
        Claim.at_least(f"{precision}: best batch over batch 1", rates[top] / rates[0], 20, "x"),
        Claim.at_most(f"{precision}: largest fall on the way up", max([0.0, *falls]), 0.1),
    ]


def plot(steps: list[dict[str, Any]], target: Path) -> None:
    """Queries a second and the fraction of the roofline, by batch size."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for precision in dict.fromkeys(step["precision"] for step in steps):
        mine = [step for step in steps if step["precision"] == precision]
        batches = [step["batch"] for step in mine]
        axes[0].plot(batches, [step["queries_per_s"] for step in mine], "o-", label=precision)
        # Without known peaks what is left to show is how the work grows.
        key = "roofline" if "roofline" in mine[0] else "gflop"
        axes[1].plot(batches, [step[key] for step in mine], "o-", label=precision)
    for each, title in zip(axes, ("queries/s", key), strict=True):
        each.set(xscale="log", yscale="log", xlabel="batch", title=title)
        each.legend()
    figure.savefig(target, dpi=120)


def main() -> int:
    """Measure, print, write."""
    options = arguments(
        "The query experts on a GPU",
        [
            ("--bundle", {"type": Path, "help": "bundle folder; by default the shipped one"}),
            ("--device", {"choices": ["cuda", "cpu"], "default": "cuda", "help": "cpu makes no claims"}),
        ],
    )
    bundle = Bundle.load(options.bundle or demo_bundle())
    setting: Any = "quick" if options.quick else "full"
    name = gpu_name()
    runs: dict[str, Any] = {"device": name, "providers": ort.get_available_providers(), "ladder": []}
    if options.device == "cuda" and (name is None or "CUDAExecutionProvider" not in runs["providers"]):
        missing = "no GPU" if name is None else "no onnxruntime-gpu: install requirements/gpu.txt"
        print(f"not measured: {missing} here. On a GPU this writes {SHAPE}, and asserts")
        print("CUDA without fallback, agreement with the CPU to 0.02, 20 x batch 1, and no fall of over 10%.")
        return finish([], runs | {"measured": False, "why": missing}, options.json, setting=setting)
    kind = next((kind for kind in PEAKS if kind in (name or "")), None)
    peak = PEAKS[kind] if kind and options.device == "cuda" else {}
    if not peak:
        print(f"the peaks of {name or 'this CPU'} are not known: no roofline")
    graphs = bundle.manifest.graphs["query_experts"]
    precisions: list[Precision] = [p for p in ("fp32", "fp16") if p in graphs]
    batches = [2**n for n in range(9 if options.quick else 14)]
    claims: list[Claim] = []
    for precision in precisions:
        try:
            steps, worst = climb(
                bundle, precision, options.device, batches, 0.1 if options.quick else 1.0, peak
            )
        except GraphError as error:  # it would run on the CPU
            print(error)
            claims.append(Claim(f"{precision}: runs on CUDA", 0.0, ">= 1", holds=False))
            continue
        runs["ladder"] += steps
        if options.device == "cuda":
            claims.append(Claim.at_least(f"{precision}: runs on CUDA", 1, 1))
            claims += claims_of(steps, worst, precision)
    if options.json and runs["ladder"]:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        plot(runs["ladder"], options.json.with_suffix(".png"))
    return finish(claims, runs | {"measured": True}, options.json, setting=setting)


if __name__ == "__main__":
    sys.exit(main())
