"""Batches on Dask workers, which may die."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from napari_wildseg.batch import Batch, batch_steps, plan_classes
from napari_wildseg.engine.errors import InputError, WildsegError
from napari_wildseg.engine.memory import ClassMemory
from napari_wildseg.engine.progress import drain
from napari_wildseg.engine.segmenter import Segmenter

from .conftest import contents, done_by_journal, write_pictures

distributed = pytest.importorskip("distributed")


@pytest.fixture
def batch(tmp_path, settings):
    """Sixteen pictures, two of them broken."""
    write_pictures(tmp_path / "pictures", 16, broken=2)
    folder = tmp_path / "out"
    return Batch(str(tmp_path / "pictures"), "cat, dog", folder, format="coco", settings=settings)


@pytest.mark.nightly
@pytest.mark.skipif(os.name == "nt", reason="there is no kill -9")
def test_a_worker_killed_mid_run_changes_no_byte(batch):
    whole = replace(batch, folder=batch.folder.with_name("whole"))
    drain(batch_steps(whole))
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0", memory_limit=0
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        workers = list(client.run(os.getpid).values())
        steps = batch_steps(replace(batch, scheduler=cluster.scheduler_address))
        while next(steps).done < 5:
            pass
        os.kill(workers[0], signal.SIGKILL)
        report = drain(steps)
    assert (len(report.done), len(report.failed)) == (14, 2)
    assert contents(batch.folder) == contents(whole.folder)


@pytest.fixture
def whole(batch):
    """What the batch writes on this machine."""
    alone = replace(batch, folder=batch.folder.with_name("whole"))
    drain(batch_steps(alone))
    return contents(alone.folder)


def begun(batch, cluster):
    """Begin the batch on a cluster; four results are fetched, the next seven are not yet."""
    steps = batch_steps(replace(batch, scheduler=cluster.scheduler_address))
    while next(steps).done < 4:
        pass
    end = time.monotonic() + 60
    while sum(len(worker.data) for worker in cluster.workers.values()) < 7:
        assert time.monotonic() < end
        time.sleep(0.01)
    return steps


def test_a_worker_that_leaves_mid_run_changes_no_byte(batch, whole, threads):
    """Its results that are not fetched are lost and computed again."""
    steps = begun(batch, threads)
    threads.sync(threads.workers[0].close, timeout=5)
    report = drain(steps)
    assert (len(report.done), len(report.failed)) == (14, 2)
    assert contents(batch.folder) == whole


def test_all_workers_may_leave_if_another_joins(batch, whole, threads):
    steps = begun(batch, threads)
    for number in (0, 1):
        threads.sync(threads.workers[number].close, timeout=5)
    while not next(steps).stage.startswith("Waiting for a worker to join tcp://"):
        pass
    threads.scale(3)
    report = drain(steps)
    assert (len(report.done), len(report.failed)) == (14, 2)
    assert contents(batch.folder) == whole


def test_a_broken_connection_changes_no_byte(batch, whole, threads):
    """All that was handed out is cancelled then, while the scheduler is still there."""
    steps = begun(batch, threads)
    for stream in list(threads.scheduler.client_comms.values()):
        threads.loop.add_callback(stream.comm.abort)
    report = drain(steps)
    assert (len(report.done), len(report.failed)) == (14, 2)
    assert contents(batch.folder) == whole


def test_a_scheduler_that_goes_away_ends_the_batch_with_a_sentence(batch, threads, monkeypatch):
    monkeypatch.setattr("napari_wildseg.batch.workers.distributed._CONNECT", 1)
    steps = begun(batch, threads)
    threads.close()
    seen = []
    with pytest.raises(WildsegError, match="The scheduler at tcp://.* is gone: start it again"):
        drain(steps, seen.append)
    assert any(progress.stage.startswith("Waiting for the scheduler") for progress in seen)
    assert len(done_by_journal(batch.folder)) >= 3


def test_a_memory_gives_the_same_bytes_on_dask_workers(tmp_path, settings, threads):
    pictures = write_pictures(tmp_path / "pictures", 7, broken=1)
    segmenter = Segmenter(
        settings.model, views=settings.views, memory=ClassMemory(alike=True), background=()
    )
    for name in ("000", "001"):
        image = np.asarray(Image.open(pictures / f"{name}.png"))
        middle = np.zeros(image.shape[:2], np.uint8)
        middle[4:12, 4:12] = 1
        segmenter.set_image(image)
        segmenter.segment("cat, dog", refine=False)
        segmenter.remember(labels=middle)
    memory = segmenter.memory.save(tmp_path / "cats.wildmemory")
    plain = Batch(str(pictures), "cat, dog", tmp_path / "plain", settings=settings, workers=1)
    drain(batch_steps(plain))
    alone = replace(plain, folder=tmp_path / "alone", memory=memory)
    report = drain(batch_steps(alone))
    assert {record.memory for record in report.done} == {segmenter.memory.digest[:16]}
    shared = replace(alone, folder=tmp_path / "dask", scheduler=threads.scheduler_address)
    assert len(drain(batch_steps(shared)).done) == 6
    assert contents(shared.folder) == contents(alone.folder)
    labels = [name for name in contents(alone.folder) if name.endswith(".png")]
    assert any(contents(alone.folder)[name] != contents(plain.folder)[name] for name in labels)


@pytest.fixture
def threads():
    """A scheduler and two workers in this process: quick, and they fail in the same words."""
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=False,
        dashboard_address=":0",
        host="127.0.0.1",
        protocol="tcp://",
    ) as cluster:
        yield cluster


def test_cancelled_and_resumed(batch, threads):
    there = replace(batch, scheduler=threads.scheduler_address, format="png")
    steps = batch_steps(there)
    while next(steps).done < 5:
        pass
    steps.close()
    done = done_by_journal(batch.folder)
    assert 0 < len(done) <= 5
    seen = []
    report = drain(batch_steps(replace(there, resume=True, scheduler=None)), seen.append)
    assert seen[0].resumed == len(done)
    assert (len(report.done), len(report.failed)) == (14, 2)


def test_a_client_that_cannot_connect_leaves_nothing_behind(monkeypatch):
    """Its finalizer would wait for a lock that other clients hold while they start and stop."""
    from napari_wildseg.batch.workers import distributed as module

    monkeypatch.setattr(module, "_CONNECT", 0.2)
    before = set(threading.enumerate())
    with pytest.raises((OSError, TimeoutError)) as caught:
        module._connect(distributed, "tcp://127.0.0.1:9")
    assert not [t for t in set(threading.enumerate()) - before if t.name == "IO loop"]
    clients = [
        entry.frame.f_locals["self"]
        for entry in caught.traceback
        if isinstance(entry.frame.f_locals.get("self"), distributed.Client)
    ]
    assert clients
    with distributed.utils.LoopRunner._lock:
        clients[0].__del__()


def test_a_client_that_does_not_close_in_time_is_no_failure(batch, threads, monkeypatch):
    from napari_wildseg.batch.workers import distributed as module

    def stalls(timeout=None):
        raise TimeoutError

    real = module._connect

    def connect(*args):
        """Stall this client alone: others may be collected, and so closed, at any moment."""
        client = real(*args)
        client.close = stalls
        return client

    monkeypatch.setattr(module, "_connect", connect)
    before = set(threading.enumerate())
    report = drain(batch_steps(replace(batch, scheduler=threads.scheduler_address)))
    assert len(report.done) == 14
    assert not [t for t in set(threading.enumerate()) - before if t.name == "IO loop"]


def test_a_worker_that_dies_before_it_told_its_weights_is_left_out(monkeypatch):
    from napari_wildseg.batch.origin import Origin
    from napari_wildseg.batch.workers import distributed as module

    class Told:
        def __init__(self, *answers):
            self.status, self.answers = "finished", iter(answers)

        def result(self, timeout):
            for answer in self.answers:
                return answer
            self.status = "lost"
            raise TimeoutError

    monkeypatch.setattr(module, "_POLL", 0)
    origin = Origin("1", "weights")
    there, told = iter([{"dead": 1}, {}, {"alive": 1}]), iter([Told(), Told(origin)])
    client = SimpleNamespace(
        status="running",
        nthreads=lambda: next(there),
        submit=lambda *_, **__: next(told),
        cancel=lambda futures: None,
    )
    assert drain(module._prepare(client, "", SimpleNamespace(only=lambda name: None))) == origin


def test_errors_that_are_no_images_end_the_batch(batch, threads):
    wrong = replace(batch.settings, model="local-dir:/nowhere")
    with pytest.raises(WildsegError, match="nowhere"):
        drain(batch_steps(replace(batch, settings=wrong, scheduler=threads.scheduler_address)))


def test_workers_of_two_kinds_are_refused(batch):
    from napari_wildseg.batch.job import BatchJob
    from napari_wildseg.batch.origin import Origin, this_program
    from napari_wildseg.batch.outputs import open_output
    from napari_wildseg.batch.plan.units import Unit
    from napari_wildseg.batch.plan.worklist import list_images
    from napari_wildseg.batch.workers import distributed as module

    items = list_images(batch.source)
    plan = plan_classes("cat, dog", items)
    job = BatchJob(batch.settings, plan, open_output("png", batch.folder))
    origin = module.prepare_worker(job)
    assert origin.program == this_program()
    unit = Unit(items[:1])
    assert not module.run_on_worker(job, unit, origin)[0].failure
    with pytest.raises(WildsegError, match="two kinds"):
        module.run_on_worker(job, unit, Origin("99.0", origin.weights))
    module._loaded.clear()


def test_a_scheduler_that_is_not_there(batch, monkeypatch):
    monkeypatch.setattr("napari_wildseg.batch.workers.distributed._CONNECT", 0.3)
    with pytest.raises(WildsegError, match="There is no Dask scheduler at tcp://127.0.0.1:9"):
        drain(batch_steps(replace(batch, scheduler="tcp://127.0.0.1:9")))
    for address in ("local:x", "nonsense://"):
        with pytest.raises(InputError, match=address):
            drain(batch_steps(replace(batch, scheduler=address, resume=True)))
