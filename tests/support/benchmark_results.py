"""Results of benchmark runs, made by hand."""

import base64
import functools
import io
import math
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image

from vitsd_export.data.labels import CIFAR10_CLASSES
from vitsd_export.measure.benchmark.results import (
    AccuracyFigures,
    Candidate,
    ClassAccuracy,
    Delegation,
    Interval,
    LatencyFigures,
    Machine,
    ParityFigures,
    Results,
    Row,
    Size,
    Speed,
    Start,
    Work,
    WorstImage,
)

# Name, runtime, name of the baseline, p50 on one thread, top-1, agreement and bytes: about what a run gives.
_TF2ONNX, _TFLITE = "stock tf2onnx float32", "stock tf.lite float32"
_CANDIDATES: list[tuple[str, str, str | None, float, float, float, int]] = [
    ("keras (tensorflow)", "keras-tensorflow", None, 61.0, 0.7934, 1.0, 87_400_000),
    (_TF2ONNX, "onnxruntime", None, 14.06, 0.7934, 1.0, 87_321_825),
    ("onnx float32", "onnxruntime", _TF2ONNX, 11.61, 0.7934, 1.0, 86_344_393),
    ("onnx float16", "onnxruntime", _TF2ONNX, 11.60, 0.7934, 0.9997, 43_330_581),
    ("onnx dynamic-int8", "onnxruntime", _TF2ONNX, 6.24, 0.7934, 0.9926, 22_025_039),
    ("onnx int8", "onnxruntime", _TF2ONNX, 6.34, 0.7938, 0.9936, 22_088_042),
    ("onnx int4", "onnxruntime", _TF2ONNX, 5.95, 0.7948, 0.9844, 12_216_499),
    (_TFLITE, "litert", None, 12.46, 0.7934, 1.0, 87_260_000),
    ("stock tf.lite full-int8", "litert", None, 26.4, 0.7790, 0.951, 22_900_000),
    ("tflite float32", "litert", _TFLITE, 10.70, 0.7934, 1.0, 86_580_000),
    ("tflite float16", "litert", _TFLITE, 10.74, 0.7933, 0.9999, 43_590_000),
    ("tflite dynamic-int8", "litert", _TFLITE, 5.04, 0.7941, 0.9959, 22_180_000),
    ("tflite int8", "litert", _TFLITE, 5.11, 0.7929, 0.9939, 22_190_000),
    ("tflite int4", "litert", _TFLITE, 4.40, 0.7924, 0.9901, 11_990_000),
    ("tflite full-int8", "litert", "stock tf.lite full-int8", 7.83, 0.7928, 0.9903, 22_790_000),
    ("tflite, XNNPACK off", "litert-no-xnnpack", _TFLITE, 19.2, 0.7934, 1.0, 86_580_000),
]
_FORMATS = {"keras-tensorflow": "keras", "onnxruntime": "onnx"}


def thumbnail(seed: int = 0) -> str:
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).resize((32, 32), Image.Resampling.BICUBIC).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def machine(**changes: Any) -> Machine:
    plain = Machine(
        processor="Intel Xeon (example)",
        features=("avx2", "avx512f", "avx512_vnni"),
        cores=2,
        memory=8_000_000_000,
        system="Linux 6.1",
        speeds=(Speed(1, 82.1e9, 240e9, 12.5e9), Speed(2, 158e9, None, 19.1e9)),
    )
    return replace(plain, **changes)


def share(value: float, images: int = 10_000) -> Interval:
    half = 1.96 * math.sqrt(max(value * (1 - value), 1e-6) / images)
    return Interval(value, max(value - half, 0.0), min(value + half, 1.0))


def latency(
    p50: float,
    *,
    batch: int = 1,
    threads: int = 1,
    ratio: tuple[float, float, float] | None = None,
    rounds: int = 60,
    seed: int = 0,
) -> LatencyFigures:
    """Latencies around a median, with a tail to the right; the ratio with its interval as given."""
    noise = np.random.default_rng(seed).lognormal(0, 0.03, rounds)
    samples = p50 * noise / np.median(noise)
    verdict = None
    if ratio is not None:
        verdict = "faster" if ratio[2] < 1 else "slower" if ratio[1] > 1 else "same"
    return LatencyFigures(
        batch=batch,
        threads=threads,
        calls=rounds,
        p50=p50,
        p90=float(np.percentile(samples, 90)),
        p99=float(np.percentile(samples, 99)),
        throughput=1000 * batch / p50,
        samples=tuple(map(float, samples)),
        ratio=None if ratio is None else Interval(*ratio),
        verdict=verdict,  # type: ignore[arg-type]
    )


def row(name: str = "onnx int8", **changes: Any) -> Row:
    """A row with nothing but its candidate, and what is given."""
    known = {"runtime": "onnxruntime", "format": "onnx"}
    keys = ("runtime", "format", "scheme", "origin", "path", "baseline", "tool")
    known |= {key: changes.pop(key) for key in keys if key in changes}
    return Row(Candidate(name, **known), **changes)


def results(*rows: Row, **changes: Any) -> Results:
    plain = Results(
        command="vitsd-export benchmark vit-tiny-cifar10.onnx --quick",
        started="2026-11-22T12:00:00+00:00",
        finished="2026-11-22T12:02:40+00:00",
        machine=machine(),
        versions={"python": "3.11.2", "vitsd-export": "0.1.0", "numpy": "2.4.0"},
        model={"name": "vit-tiny-cifar10", "sha256": "ab" * 32},
        data={"source": "CIFAR-10, JPEG copy", "split": "test", "images": 10_000},
        settings={"rounds": 60, "batches": [1, 8], "threads": [1, 2]},
        rows=tuple(rows),
    )
    return replace(plain, **changes)


def worst_images(number: int, labels: tuple[str, ...] = CIFAR10_CLASSES) -> tuple[WorstImage, ...]:
    return tuple(
        WorstImage(
            index=17 * (place + 1),
            max_abs_difference=0.4 / (place + 1),
            kl=0.2 / (place + 1),
            label=labels[place % len(labels)],
            reference_label=labels[place % len(labels)],
            reference_probability=0.61,
            answer_label=labels[(place * 3 + 1) % len(labels)],
            answer_probability=0.52,
            thumbnail=thumbnail(place),
        )
        for place in range(number)
    )


def accuracy(top1: float, labels: tuple[str, ...] = CIFAR10_CLASSES) -> AccuracyFigures:
    spread = np.linspace(-0.1, 0.1, len(labels))
    classes = tuple(
        ClassAccuracy(label, 1000, share(min(max(top1 + float(off), 0.0), 1.0), 1000))
        for label, off in zip(labels, spread, strict=True)
    )
    return AccuracyFigures(10_000, share(top1), share(0.986), classes)


@functools.cache
def realistic() -> Results:
    """A run as it comes out: sixteen candidates, four settings, one failure, one skipped."""
    medians = {name: p50 for name, _, _, p50, *_ in _CANDIDATES}
    rows = []
    for place, (name, runtime, baseline, p50, top1, agreement, size) in enumerate(_CANDIDATES):
        origin = "stock" if name.startswith("stock") else "ours"
        format_name = _FORMATS.get(runtime, "tflite")
        latencies = []
        for threads, batch in ((1, 1), (1, 8), (2, 1), (2, 8)):
            factor = batch**0.9 / threads**0.6
            ratio = None
            if baseline is not None:
                by_baseline = p50 / medians[baseline]
                ratio = (by_baseline, by_baseline * 0.985, by_baseline * 1.02)
            seed = 100 * place + 10 * threads + batch
            latencies.append(
                latency(p50 * factor, batch=batch, threads=threads, ratio=ratio, seed=seed)
            )
        difference = (1 - agreement) * 20 + 2e-6
        rows.append(
            row(
                name,
                runtime=runtime,
                format=format_name,
                origin=origin,
                baseline=baseline,
                tool="tf2onnx 1.17.0" if origin == "stock" else None,
                versions={"onnxruntime": "1.31.1"}
                if format_name == "onnx"
                else {"litert": "2.3.0"},
                size=Size(size, int(size * 0.93)),
                start=Start(18.0 + place, p50 * 1.8, 52_000_000, 52_000_000 + 2 * size, 3 * size),
                parity=ParityFigures(
                    10_000,
                    min(difference, 0.9),
                    difference / 40,
                    agreement,
                    0.998,
                    difference / 90,
                    worst_images(6) if agreement < 1 else (),
                ),
                accuracy=accuracy(top1),
                latencies=tuple(latencies),
                delegation=Delegation("XnnpackDelegate", 1, 171, 174, "3 operators fell back"),
                work=Work(
                    {"float32": 141_000_000, "int8": 21_000_000}, size, p50 * 0.7, 0.7 - place / 50
                ),
            )
        )
    rows.append(row("stock onnxruntime static", failure="crashed: SIGSEGV while loading"))
    rows.append(row("openvino", runtime="openvino", skipped="the package openvino is missing"))
    return results(*rows)


HOSTILE = (
    "</script><script>window.hacked = 1</script>",
    '"><img src=x onerror="window.hacked=1">',
    "' onmouseover='window.hacked=1",
    "{{ 7 * 7 }}{% raw %}",
    "a|b\\|c `d` *e* _f_ [g](http://example.invalid) <h> &amp; ~~i~~ $j$ #k",
    "\x1b[31mred\x1b[0m\x00\x07\u202egnp.exe",
    "[bold red]markup[/] [/nothing]",
    "日本語のモデル 👩‍🔬 ñ",
    "-",
    "1. x\n# y",
    "w" * 300,
    " ",
)


def hostile() -> Results:
    """A run whose every text is chosen to break what shows it."""
    rows = []
    for place, text in enumerate(HOSTILE):
        rows.append(
            row(
                text,
                runtime=text,
                tool=text,
                baseline=HOSTILE[0] if place else None,
                versions={text: text},
                size=Size(10**place, 0),
                parity=ParityFigures(1, None, None, 0.5, None, None, worst_images(2, HOSTILE)),
                accuracy=accuracy(0.1 * (place % 9), HOSTILE),
                latencies=(latency(1.0 + place, rounds=1), latency(5.0, threads=3, batch=7)),
                delegation=Delegation(text, None, None, None, text),
                work=Work({text: None}, 0, None, None),
                failure=text if place == 5 else None,
            )
        )
    rows.append(row("skipped", skipped=HOSTILE[0]))
    return results(
        *rows,
        command="vitsd-export benchmark '" + "``` ```` " + HOSTILE[0] + "'",
        machine=machine(processor=HOSTILE[1], system=HOSTILE[2], features=HOSTILE[:2]),
        model={"name": HOSTILE[0], "sha256": HOSTILE[3]},
        data={"source": HOSTILE[4], "split": HOSTILE[5], "images": 1},
        settings={text: text for text in HOSTILE},
        versions={text: text for text in HOSTILE},
        finished=None,
    )


@functools.cache
def unusual() -> dict[str, Results]:
    """Runs that have little or very much."""
    many = tuple(f"class {number}" for number in range(100))
    return {
        "no rows": results(),
        "nothing known": results(
            row(),
            machine=machine(speeds=(), features=()),
            model={},
            data={},
            settings={},
            versions={},
        ),
        "all failed": results(
            row("a", failure="crashed: SIGSEGV"), row("b", failure=""), row("c", skipped="missing")
        ),
        "one sample": results(row(latencies=(latency(3.0, rounds=1),), accuracy=accuracy(0.5))),
        "no samples": results(row(latencies=(replace(latency(3.0), samples=()),))),
        "a time of zero": results(
            row(latencies=(replace(latency(3.0), p50=0.0, samples=(0.0, 0.0)),), size=Size(0, 0))
        ),
        "all equal": results(
            *(
                row(
                    f"copy {number}",
                    latencies=(latency(2.0, ratio=(1.0, 1.0, 1.0)),),
                    accuracy=accuracy(1.0),
                    size=Size(1000, 900),
                )
                for number in range(12)
            )
        ),
        "agreement alone": results(
            *(
                row(
                    f"scheme {number}",
                    latencies=(latency(2.0 + number),),
                    parity=ParityFigures(50, 1e-7, 0.0, 1 - number / 100, 1.0, 0.0),
                )
                for number in range(3)
            )
        ),
        "100 classes": results(
            row("keras", format="keras", accuracy=accuracy(0.7, many)),
            row("int8", accuracy=accuracy(0.69, many)),
        ),
        "no common setting": results(
            row("a", latencies=(latency(1.0),)),
            row("b", latencies=(latency(1.0, threads=2, batch=8),)),
        ),
        "beyond the limit": results(
            row(work=Work({"int8": 10}, 10, 3.0, 1.7), latencies=(latency(1.8),))
        ),
        "hostile": hostile(),
        "realistic": realistic(),
    }
