"""The page answers as onnxruntime does in Python, on whatever the browser computes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from playwright.sync_api import Browser, expect

from tests.support.browser import find_chromium
from tests.support.command_line import run_command
from tests.support.keras_models import TINY_MODEL
from tests.support.web_pages import choose, classify, open_page, png, shown
from tests.support.web_servers import Serve
from vitsd_export.data.labels import CIFAR10_CLASSES
from vitsd_export.runtimes import open_runner

# SwiftShader computes WebGPU on the processor.
_SOFTWARE_WEBGPU = [
    "--no-sandbox",
    "--enable-unsafe-webgpu",
    "--use-webgpu-adapter=swiftshader",
    "--enable-features=Vulkan",
    "--use-vulkan=swiftshader",
]


def answers_of(browser: Browser, url: str, images: np.ndarray) -> np.ndarray:
    files = [(f"{index}.png", png(image)) for index, image in enumerate(images)]
    with open_page(browser, url) as page:
        return np.array(classify(page, files))


def python_answers(model: Path, images: np.ndarray) -> np.ndarray:
    with open_runner(model) as runner:
        return runner.probabilities(images)


def test_every_bundled_image_in_float32(
    browser: Browser, site: Path, url: str, images: np.ndarray
) -> None:
    expected = python_answers(site / "model.onnx", images)
    answers = answers_of(browser, url, images)
    assert answers.shape == expected.shape
    assert abs(answers - expected).max() <= 1e-5
    assert (answers.argmax(1) == expected.argmax(1)).all()


def test_every_bundled_image_in_int8(
    browser: Browser, site_int8: Path, serve: Serve, images: np.ndarray
) -> None:
    model = site_int8 / "model.onnx"
    expected = python_answers(model, images)
    with serve(site_int8) as url:
        answers = answers_of(browser, url, images)
    difference = abs(answers - expected).max(axis=1)
    # Where a value lies on the edge between two integers, the last bit of a float decides. Two graph
    # optimisation levels of onnxruntime in Python tip some values, too: that is the measure.
    among_themselves = abs(unfused_answers(model, images) - expected).max(axis=1)
    assert (difference > 1e-3).mean() <= 2 * (among_themselves > 1e-3).mean()
    assert np.median(difference) <= 1e-6
    assert difference.max() <= 0.03
    # Nearly tied classes may change places.
    assert (answers.argmax(1) == expected.argmax(1)).mean() >= 0.996


def unfused_answers(model: Path, images: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"image": images})[0])


def test_the_most_probable_classes_are_shown_in_order(
    browser: Browser, site: Path, url: str, images: np.ndarray
) -> None:
    expected = python_answers(site / "model.onnx", images[:1])[0]
    best = np.argsort(-expected)[:5]
    with open_page(browser, url) as page:
        choose(page, images[0])
        assert shown(page) == [CIFAR10_CLASSES[index] for index in best]
        percents = page.locator("#classes .percent").all_inner_texts()
        widths = page.locator("#classes i").evaluate_all("all => all.map(bar => bar.style.width)")
        facts = {
            name: page.locator(f"#{name}").inner_text() for name in ("model", "scheme", "size")
        }
        latency = page.locator("#latency").inner_text()
        load_time = page.locator("#load-time").inner_text()
    for percent, width, index in zip(percents, widths, best, strict=True):
        assert float(percent.rstrip("%")) == pytest.approx(100 * expected[index], abs=0.06)
        assert float(width.rstrip("%")) == pytest.approx(100 * expected[index], abs=0.01)
    size = (site / "model.onnx").stat().st_size
    assert facts == {
        "model": TINY_MODEL,
        "scheme": "float32",
        "size": f"{size / 1e6:.2f} MB",
    }
    assert 0 < float(latency.removesuffix(" ms")) < 10_000
    assert 0 < float(load_time.removesuffix(" s")) < 60


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(
            ["--answer", "logits", "--input", "float32", "--batch", "3"],
            id="logits of three images of floats",
        ),
        pytest.param(["--scheme", "float16"], id="float16"),
    ],
)
def test_every_contract_of_an_artifact(
    browser: Browser,
    write_site: Callable[[Path], Path],
    serve: Serve,
    images: np.ndarray,
    tmp_path: Path,
    options: list[str],
) -> None:
    model = tmp_path / "model.onnx"
    outcome = run_command("onnx", "--model", TINY_MODEL, "--no-verify", "-o", model, *options)
    assert outcome.exit_code == 0, outcome.stderr
    with serve(write_site(model)) as url:
        answers = answers_of(browser, url, images[:20])
    assert abs(answers - python_answers(model, images[:20])).max() <= 1e-5


def test_threads_where_the_page_is_isolated(
    browser: Browser, site: Path, serve: Serve, images: np.ndarray
) -> None:
    many = "Object.defineProperty(navigator, 'hardwareConcurrency', { value: 8 })"
    expected = python_answers(site / "model.onnx", images[:10])
    files = [("image.png", png(image)) for image in images[:10]]
    for plain, runs_on in [(False, "WebAssembly, 4 threads"), (True, "WebAssembly, 1 thread")]:
        with serve(site, plain=plain) as url, open_page(browser, url, many) as page:
            assert page.evaluate("crossOriginIsolated") is not plain
            expect(page.locator("#runs-on")).to_have_text(runs_on)
            assert abs(np.array(classify(page, files)) - expected).max() <= 1e-5


def test_the_service_worker_isolates_the_page_where_the_host_cannot(
    browser: Browser, site: Path, serve: Serve, images: np.ndarray
) -> None:
    with serve(site, plain=True) as url, open_page(browser, url) as page:
        expect(page.locator("#offline")).to_have_text("ready")
        page.reload()
        assert page.evaluate("crossOriginIsolated")
        choose(page, images[0])


@pytest.mark.slow
def test_webgpu_computed_by_software(
    browser: Browser, site: Path, url: str, images: np.ndarray
) -> None:
    gpu = browser.browser_type.launch(executable_path=find_chromium(), args=_SOFTWARE_WEBGPU)
    try:
        with open_page(gpu, url) as page:
            if not page.evaluate("navigator.gpu?.requestAdapter().then(Boolean) ?? false"):
                pytest.skip("this Chromium has no software WebGPU")
            expect(page.locator("#runs-on")).to_have_text("WebGPU")
            files = [("image.png", png(image)) for image in images[:20]]
            answers = np.array(classify(page, files))
    finally:
        gpu.close()
    assert abs(answers - python_answers(site / "model.onnx", images[:20])).max() <= 1e-3


def test_webgpu_that_fails_leaves_the_work_to_webassembly(
    browser: Browser, url: str, images: np.ndarray
) -> None:
    # An adapter that gives no device, as with a driver that is blocked.
    broken = """
        const adapter = { requestDevice: () => Promise.reject(new Error("driver is blocked")) };
        const gpu = { requestAdapter: () => Promise.resolve(adapter) };
        Object.defineProperty(navigator, "gpu", { value: gpu });
    """
    with open_page(browser, url, broken) as page:
        expect(page.locator("#runs-on")).to_contain_text("WebAssembly, 1 thread (WebGPU failed")
        choose(page, images[0])
