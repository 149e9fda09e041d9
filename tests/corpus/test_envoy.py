"""Every object that is accepted here is accepted by Envoy when it is compiled: not one refusal over the corpus.

Each file is a mesh of its own, loaded whole and on demand, and each folder one as a whole. What objects name and do not
bring is added (`tests/harness/corpus_mesh.py`); only addresses of listeners and names that DNS would be asked for are
exchanged.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from store.manifest import read_paths
from store.validation.check import check_object
from tests.e2e.fields.table import GROUPS
from tests.harness.catalogs import Document
from tests.harness.corpus_mesh import compile_corpus, movable
from tests.harness.envoys import open_lab
from tests.harness.field_building import STAND_INS
from tests.harness.field_envoy import Served
from tests.harness.field_tls import pins, write_certificates
from tests.harness.mutants import mutate

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"
MUTANTS = 400 if os.environ.get("MESHD_TEST_DEEP") else 25
"""Meshes of changed objects."""
FOLDERS = (
    "api-proto-examples",
    "istio-analysis-testdata",
    "istio-docs",
    "istio-samples",
    "istio-test-datasets",
    "istio-validation-testdata",
    "seed",
)

pytestmark = [
    pytest.mark.corpus,
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.timeout(900 if os.environ.get("MESHD_TEST_DEEP") else 300),
    pytest.mark.skipif(
        not CORPUS.is_dir(), reason="Istio's objects are not here (looked in ../shared/corpus)"
    ),
]


@pytest.fixture
def certificates() -> Iterator[Path]:
    """A folder with a short name, since sockets lie in it."""
    folder = Path(tempfile.mkdtemp(prefix="corpus-"))
    write_certificates(folder)
    yield folder
    shutil.rmtree(folder)


def accepted(file: Path) -> list[Document]:
    """The objects of a file that would be stored."""
    found: list[Document] = []
    for document in read_paths([str(file)]).documents:
        document.value.pop("_err", None)
        if check_object(document.value)[0] is not None:
            found.append(document.value)
    return found


@pytest.mark.parametrize("folder", FOLDERS)
async def test_envoy_accepts_what_is_accepted_here(
    folder: str, certificates: Path, count: Callable[[str, str, int], None]
) -> None:
    refused: list[str] = []
    everything: list[Document] = []
    async with open_lab() as lab:
        served = Served(lab, {}, {})
        for file in sorted((CORPUS / folder).rglob("*.yaml")):
            objects = accepted(file)
            everything += objects
            if objects:
                refused += await given(served, objects, certificates, str(file.name))
                count(f"{folder}, given to Envoy", "files", 1)
                count(f"{folder}, given to Envoy", "objects", len(objects))
        refused += await given(served, everything, certificates, f"all of {folder}")
    assert everything
    assert not refused, "\n\n".join(refused)


def pool(places: Mapping[str, object]) -> list[list[Document]]:
    """Meshes of the corpus, and those that prove fields."""
    files = (file for folder in FOLDERS for file in sorted((CORPUS / folder).rglob("*.yaml")))
    found = [objects for file in files if (objects := accepted(file))]
    return found + [case.documents(places) for cases in GROUPS.values() for case in cases]


async def test_envoy_accepts_what_is_accepted_here_however_it_was_changed(
    certificates: Path,
) -> None:
    dice = random.Random(7)
    meshes = pool({**STAND_INS, "folder": str(certificates), **pins(certificates)})
    refused: list[str] = []
    tried = 0
    async with open_lab() as lab:
        served = Served(lab, {}, {})
        while tried < MUTANTS:
            several = [dice.choice(meshes) for _ in range(dice.choice((1, 2, 3)))]
            objects = mutate([one for mesh in several for one in mesh], dice)
            if all(check_object(one)[0] is not None for one in objects):
                tried += 1
                refused += await given(served, objects, certificates, str(objects))
    assert not refused, "\n\n".join(refused)


async def given(served: Served, objects: list[Document], folder: Path, name: str) -> list[str]:
    """What Envoy refuses of these objects."""
    refused = []
    for on_demand in (False, True):
        compiled = compile_corpus(objects, folder, on_demand=on_demand)
        try:
            await served.load([movable(one, folder) for one in compiled])
        except AssertionError as problem:
            refused.append(f"{name}, {'on demand' if on_demand else 'whole'}: {problem}")
    return refused
