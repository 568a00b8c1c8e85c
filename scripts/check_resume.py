"""Check that a batch that is killed, or loses a worker, ends as an undisturbed one does.

    python scripts/check_resume.py [--count 200] [--broken 5] [--format coco] [--folder DIR]

Makes pieces of sample photographs, some of them broken, and runs `wildseg batch` on them with the
starter model: undisturbed; killed with SIGKILL after a third and after two thirds, and resumed; and
on two Dask workers of which one is killed after a third. Every file of the three output folders is
compared byte by byte, report and journal included. Prints a line of JSON; the exit status is 1 if
a byte differs. Where killing is not known (Windows), it cannot be run.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data

LABELS = "cat, cup of coffee, rocket, motorcycle, astronaut"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--broken", type=int, default=5)
    parser.add_argument("--format", default="coco")
    parser.add_argument("--folder", type=Path, help="where all of it is kept (default: nowhere)")
    parser.add_argument(
        "--parts", default="killed,worker", help="which of killed and worker (default: both)"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        pictures = folder / "pictures"
        if not pictures.exists():
            make_pictures(pictures, args.count, args.broken)
        command = [sys.executable, "-m", "napari_wildseg", "batch", str(pictures)]
        command += ["--labels", LABELS, "--format", args.format, "--progress-json", "--resume"]
        figures = {"images": args.count, "seconds": {}}
        kinds = {"undisturbed": run, "killed": run_killed, "worker": run_without_a_worker}
        for kind in ["undisturbed", *args.parts.split(",")]:
            started = time.perf_counter()
            figures |= kinds[kind]([*command, "--out", str(folder / kind)])
            figures["seconds"][kind] = round(time.perf_counter() - started, 1)
        expected = contents(folder / "undisturbed")
        report = json.loads(expected["report.json"])
        figures |= {"failed": len(report["failed"]), "files": len(expected)}
        differing = {}
        for kind in args.parts.split(","):
            found = contents(folder / kind)
            names = sorted({*expected, *found})
            differing[kind] = [name for name in names if expected.get(name) != found.get(name)]
        figures["differing files"] = differing
    print(json.dumps(figures))
    return int(any(differing.values()) or figures["failed"] != args.broken)


def make_pictures(folder: Path, count: int, broken: int) -> None:
    """Fill a folder with pieces of photographs, files that are no pictures mixed in evenly."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    photos = [data.chelsea(), data.coffee(), data.rocket(), data.stereo_motorcycle()[0]]
    photos.append(data.astronaut())
    faults = [b"", b"no picture at all", b"\x89PNG\r\n\x1a\nbroken", b"\xff\xd8\xff\xe0", b"GIF89a"]
    every = max(1, count // max(1, broken))
    for number in range(count):
        path = folder / f"{number:03}.png"
        if number % every == every // 2 and number // every < broken:
            path.write_bytes(faults[number // every % len(faults)])
            continue
        photo = photos[number % len(photos)]
        rows, columns = random.integers(160, 281, 2)
        top = random.integers(0, photo.shape[0] - rows + 1)
        left = random.integers(0, photo.shape[1] - columns + 1)
        Image.fromarray(photo[top : top + rows, left : left + columns]).save(path)


def run(command: list[str]) -> dict[str, object]:
    """Run it to its end."""
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return {}


def run_killed(command: list[str]) -> dict[str, object]:
    """Kill it after a third and after two thirds of the images, then let it end."""
    done = []
    for share in (1 / 3, 2 / 3):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            done.append(wait_for(process, share))
            process.send_signal(signal.SIGKILL)
    run(command)
    return {"killed at": done}


def run_without_a_worker(command: list[str]) -> dict[str, object]:
    """Run it on two workers, and kill one of them after a third of the images."""
    import distributed

    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", memory_limit=0
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        workers = list(client.run(os.getpid).values())
        command = [*command, "--scheduler", cluster.scheduler_address]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            done = wait_for(process, 1 / 3)
            os.kill(workers[0], signal.SIGKILL)
            assert process.stdout is not None
            for _ in process.stdout:
                pass
        if process.returncode:
            raise SystemExit(f"the batch ended with status {process.returncode}")
    return {"worker killed at": done}


def wait_for(process: subprocess.Popen[str], share: float) -> int:
    """Wait until a batch has done a share of its images; return how many."""
    assert process.stdout is not None
    for line in process.stdout:
        progress = json.loads(line)
        if progress["done"] >= share * progress["total"]:
            return int(progress["done"])
    raise SystemExit("the batch ended too soon")


def contents(folder: Path) -> dict[str, bytes]:
    """All files under a folder, hidden ones too, but for the lock."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "lock"
    }


if __name__ == "__main__":
    raise SystemExit(main())
