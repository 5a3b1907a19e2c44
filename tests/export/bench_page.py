"""How fast the page's runtime is in Chromium, how much memory it takes, and whether it gives PyTorch's numbers.

    python tests/export/bench_page.py [--sizes 256 512] [--runs 5] [--model lightm-unet-1m] [--json FILE]
    python tests/export/bench_page.py --ort node_modules/onnxruntime-web/dist --onnx network.onnx

The weights are random (the time does not depend on them), the pictures phantoms. Each size is run once to warm up, then
timed --runs times; medians are printed. Memory is the peak of the page's process, the browser's own part included.

With --ort, a folder of onnxruntime-web (npm install onnxruntime-web), and --onnx, a file of the same network with one
input (1, C, H, W), both runtimes take turns in the same page. onnxruntime-web gets one thread: a page from a disk has
no more. Its files are put into the page, since such a page may fetch nothing.
"""

import argparse
import base64
import json
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from browser import CHROMIUM, Browser, Page

from lightm.data.phantoms import PhantomCXR
from lightm.data.transforms import preprocess
from lightm.export import Card, export_html
from lightm.models import build_model

BYTES = """(id) => {
    const letters = atob(document.getElementById(id).textContent), found = new Uint8Array(letters.length);
    for (let i = 0; i < found.length; i++) found[i] = letters.charCodeAt(i);
    return found;
}"""
OPEN = """(async () => {
    const bytes = BYTES;
    const network = JSON.parse(document.getElementById("network").textContent);
    globalThis.engine = await lightm.Engine.open(bytes("module"), network, bytes("weights"));
})()"""
RUN = """(() => {
    const started = performance.now();
    globalThis.result = lightm.finish(engine.run([picture], SIZE, SIZE));
    return {seconds: (performance.now() - started) / 1000, bytes: result.bytes};
})()"""
OPEN_ORT = """(async () => {
    const bytes = BYTES;
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.wasmBinary = bytes("ort-wasm").buffer;
    if (document.getElementById("ort-loader")) {
        const source = new Blob([document.getElementById("ort-loader").textContent], {type: "text/javascript"});
        ort.env.wasm.wasmPaths = {mjs: URL.createObjectURL(source)};
    }
    globalThis.session = await ort.InferenceSession.create(bytes("onnx"), {executionProviders: ["wasm"]});
})()"""
RUN_ORT = """(async () => {
    const started = performance.now();
    const feeds = {[session.inputNames[0]]: new ort.Tensor("float32", picture, [1, 1, SIZE, SIZE])};
    globalThis.answer = (await session.run(feeds))[session.outputNames[0]];
    return {seconds: (performance.now() - started) / 1000};
})()"""


def main() -> None:
    args = _arguments()
    if CHROMIUM is None:
        sys.exit("Chromium is needed: install chromium.")
    torch.manual_seed(0)
    model = build_model(args.model, 2, 1, 2).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.half().float())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "page.html"
        export_html(model, path, Card(("background", "lung"), (256, 256), "zscore", "nothing: random weights"))
        if args.ort:
            _add_ort(path, args.ort, args.onnx)
        rows = []
        for size in args.sizes:
            with Browser(Path(folder) / str(size)) as browser:
                rows.append(_measure(browser.open(path), model, size, args))
            print(json.dumps(rows[-1]), flush=True)
    if args.json:
        args.json.write_text(json.dumps({"model": args.model, "rows": rows}, indent=1) + "\n", "utf-8")


def _measure(page: Page, model: torch.nn.Module, size: int, args: argparse.Namespace) -> dict:
    case = PhantomCXR(cases=1, size=size, seed=1).read("phantom-cxr-1-0000")
    image = preprocess(case, (size, size), "zscore")[0]  # (1, H, W)
    code = base64.b64encode(image.numpy().astype("<f4").tobytes()).decode()
    page.run(
        f"globalThis.picture = new Float32Array(Uint8Array.from(atob('{code}'), (c) => c.charCodeAt(0)).buffer); 0"
    )
    page.run(OPEN.replace("BYTES", BYTES))
    runners = {"lightm": RUN.replace("SIZE", str(size))}
    if args.ort:
        page.run(OPEN_ORT.replace("BYTES", BYTES))
        runners["onnxruntime-web"] = RUN_ORT.replace("SIZE", str(size))
    times = {name: [] for name in runners}
    for turn in range(args.runs + 1):
        for name, code in runners.items():
            answer = page.run(code)
            if turn:
                times[name].append(answer["seconds"])
            if name == "lightm":
                bytes_held = answer["bytes"]
    peak = _peak_megabytes(page)  # before the logits are taken out of the page, which needs memory of its own
    logits = np.array(page.run("Array.from(result.logits)")).reshape(size, size, 2)
    with torch.no_grad():
        expected = model(image[None])[0].movedim(0, -1).numpy()
    row = {
        "size": size,
        **{f"{name}, s": round(statistics.median(found), 3) for name, found in times.items()},
        **{f"{name}, fastest s": round(min(found), 3) for name, found in times.items()},
        "largest difference from PyTorch": float(abs(logits - expected).max()),
        "other labels": int((logits.argmax(-1) != expected.argmax(-1)).sum()),
        "module's memory, MB": round(bytes_held / 1e6, 1),
        "page's process, peak MB": peak,
    }
    if args.ort:
        other = np.array(page.run("Array.from(answer.data)")).reshape(2, size, size)
        row["onnxruntime-web: largest difference"] = float(abs(np.moveaxis(other, 0, -1) - expected).max())
        row["times faster"] = round(row["onnxruntime-web, s"] / row["lightm, s"], 1)
    return row


def _peak_megabytes(page: Page) -> float | None:
    """The most memory that the renderer of the page has held, where /proc says it."""
    processes = page.browser.call("SystemInfo.getProcessInfo")["processInfo"]
    found = []
    for process in processes:
        status = Path(f"/proc/{process['id']}/status")
        if process["type"] == "renderer" and status.is_file():
            found += [int(line.split()[1]) / 1000 for line in status.read_text().splitlines() if "VmHWM" in line]
    return round(max(found), 1) if found else None


def _add_ort(path: Path, ort: Path, onnx: Path) -> None:
    """onnxruntime-web, its module and the network, inside the page."""

    def data(name: str, content: bytes) -> str:
        return f'<script type="text/plain" id="{name}">{base64.b64encode(content).decode()}</script>\n'

    wasm = ort / "ort-wasm-simd-threaded.wasm"
    parts = [data("onnx", onnx.read_bytes()), data("ort-wasm", wasm.read_bytes())]
    loader = ort / "ort-wasm-simd-threaded.mjs"
    if loader.is_file():
        parts.append(f'<script type="text/plain" id="ort-loader">{loader.read_text("utf-8")}</script>\n')
    parts.append(f"<script>{(ort / 'ort.wasm.min.js').read_text('utf-8')}</script>\n")
    text = path.read_text("utf-8").replace("worker-src blob:;", "worker-src blob:; connect-src blob: data:;")
    path.write_text(text.replace("</body>", "".join(parts) + "</body>"), "utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--model", default="lightm-unet-1m")
    parser.add_argument("--json", type=Path, help="write the rows here, too")
    parser.add_argument("--ort", type=Path, help="the folder dist of npm's onnxruntime-web")
    parser.add_argument("--onnx", type=Path, help="the same network as ONNX; needed with --ort")
    args = parser.parse_args()
    if bool(args.ort) != bool(args.onnx):
        parser.error("--ort and --onnx belong together")
    return args


if __name__ == "__main__":
    main()
