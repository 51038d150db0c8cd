"""`skald.scan` of runs in a cloud store: a local server that speaks as Amazon's S3 does."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pytest

import skald

boto3 = pytest.importorskip("boto3")
moto_server = pytest.importorskip("moto.server")

CREDENTIALS = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}


class Store(NamedTuple):
    """A bucket of the server, and how polars connects to it."""

    client: Any
    options: dict[str, str]

    def put(self, folder: Path, key: str) -> None:
        """Copy a folder into the bucket."""
        for file in folder.rglob("*"):
            if file.is_file():
                self.client.upload_file(str(file), "bucket", f"{key}/{file.relative_to(folder).as_posix()}")


@pytest.fixture(name="store", scope="module")
def serve() -> Iterator[Store]:
    """Start a server with a bucket."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    url = f"http://127.0.0.1:{port}"
    client = boto3.client("s3", endpoint_url=url, region_name="us-east-1", **CREDENTIALS)
    client.create_bucket(Bucket="bucket")
    yield Store(client, {**CREDENTIALS, "aws_region": "us-east-1", "aws_endpoint_url": url, "aws_allow_http": "true"})
    client.close()
    server.stop()


@pytest.fixture(name="runs", scope="module")
def local_runs(tmp_path_factory: pytest.TempPathFactory, store: Store) -> Path:
    """Return runs that are in the store as `runs/` too; one has ids that the others lack."""
    runs = tmp_path_factory.mktemp("runs")
    for lr in (0.1, 0.2):
        for seed in (0, 1):
            with skald.Logger(f"seed{seed}", runs / f"lr={lr}") as logger:
                logger.log_params(lr=lr, model={"depth": seed})
                ids = {"rate": 0.5} if lr > 0.1 else {"rate": 1, "split": "val"}
                logger.log_batch({"loss": [3.0, 2.0, lr]}, step=[0, 1, 2], **ids)
    shutil.copytree(runs / "lr=0.2" / "seed0", runs / "lr=0.1" / "seed0" / "artifacts" / "copy")
    store.put(runs, "runs")
    return runs


def test_scan_of_a_store_equals_that_of_the_folder(runs: Path, store: Store) -> None:
    """The same table under the same names, with ids of joined kinds; a run among artifacts is none."""
    found = skald.scan("s3://bucket/runs", storage_options=store.options)

    assert found.collect().equals(skald.scan(runs).collect())
    last = found.filter(metric="loss", step=2).select("run", "value").collect()
    assert last.rows() == [(f"lr={lr}/seed{seed}", lr) for lr in (0.1, 0.2) for seed in (0, 1)]


def test_scan_of_a_store_joins_params(runs: Path, store: Store) -> None:
    """params.yaml lies beside the metrics, there as here."""
    found = skald.scan("s3://bucket/runs/", params="*", storage_options=store.options)

    assert found.collect().equals(skald.scan(runs, params="*").collect())


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("s3://bucket/runs/lr=*", ["lr=0.1/seed0", "lr=0.1/seed1", "lr=0.2/seed0", "lr=0.2/seed1"]),
        ("s3://bucket/runs/lr=0.1/seed0", ["seed0"]),
        (
            ["s3://bucket/runs/lr=0.1", "s3://bucket/runs/lr=0.2/seed1"],
            ["lr=0.1/seed0", "lr=0.1/seed1", "lr=0.2/seed1"],
        ),
    ],
)
@pytest.mark.usefixtures("runs")
def test_source_in_a_store_may_be_a_glob_a_run_or_several(source: Any, names: list[str], store: Store) -> None:
    """Names are as those of a glob or a list of folders."""
    found = (
        skald.scan(source, storage_options=store.options).select(pl.col("run").unique(maintain_order=True)).collect()
    )

    assert found["run"].to_list() == names


def test_broken_run_in_a_store_is_left_out_with_a_warning(runs: Path, store: Store) -> None:
    """What is damaged or was not compacted costs no other run."""
    store.put(runs / "lr=0.1" / "seed0", "mixed/good")
    store.put(runs / "lr=0.1" / "seed0", "mixed/bad")
    store.client.put_object(Bucket="bucket", Key="mixed/bad/metrics.parquet", Body=b"PAR1 and no more")
    store.client.put_object(Bucket="bucket", Key="mixed/open/run.json", Body=b"{}")

    with pytest.warns(UserWarning, match="'bad', 'open'"):
        found = skald.scan("s3://bucket/mixed", storage_options=store.options).collect()

    assert set(found["run"]) == {"good"}


def test_run_in_a_store_that_ended_without_rows_is_not_broken(runs: Path, tmp_path: Path, store: Store) -> None:
    """It has no metrics file, as it needs none; its params have their columns, there as here."""
    with skald.Logger("none", tmp_path, capture=False) as logger:
        logger.log_params(seed=3)
    shutil.copytree(runs / "lr=0.1" / "seed0", tmp_path / "some")
    store.put(tmp_path, "few")

    found = skald.scan("s3://bucket/few", params="*", storage_options=store.options)

    assert found.collect().equals(skald.scan(tmp_path, params="*").collect())
    assert found.collect().height == 3


def test_run_in_a_store_with_broken_params_keeps_its_rows_and_those_of_before(runs: Path, store: Store) -> None:
    """A typo of who edited them costs a warning, there as here."""
    store.put(runs / "lr=0.1" / "seed1", "edited/run")
    store.client.put_object(Bucket="bucket", Key="edited/run/params.yaml", Body=b"lr: 0.3\nmodel: [1\n")

    with pytest.warns(UserWarning, match=r"edited/run/params\.yaml, line 3; the params of before the edit are shown"):
        found = skald.scan("s3://bucket/edited", params="*", storage_options=store.options).collect()

    assert found.height == 3
    assert found.select("params.lr", "params.model.depth").unique().rows() == [(0.1, 1)]


def test_store_without_runs_is_an_error(store: Store) -> None:
    """An address that means nothing is told."""
    with pytest.raises(skald.RunNotFoundError, match="s3://bucket/nothing"):
        skald.scan("s3://bucket/nothing", storage_options=store.options)


def test_source_of_paths_and_addresses_is_an_error(runs: Path) -> None:
    """One scan is of one place."""
    with pytest.raises(skald.InvalidInputError, match="addresses"):
        skald.scan([runs, "s3://bucket/runs"])


def test_scan_of_a_store_that_gives_nothing_fails_in_our_words(store: Store) -> None:
    """On one line, with the cause kept."""
    with pytest.raises(skald.StorageError, match=r"^nothing can be read at s3://nope-bucket/runs: .+$") as error:
        skald.scan("s3://nope-bucket/runs", storage_options=store.options)

    assert "\n" not in str(error.value)
    assert error.value.__cause__ is not None


def test_scan_of_a_store_refuses_options_that_polars_does_not_take() -> None:
    """What is wrong with them is told."""
    with pytest.raises(skald.InvalidInputError, match=r"storage_options= .*'max_retries'"):
        skald.scan("s3://bucket/runs", storage_options={"max_retries": "0"})
