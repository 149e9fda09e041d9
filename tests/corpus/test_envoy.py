"""Every object that is accepted here is accepted by Envoy when it is compiled: not one refusal over the corpus.

Each file is a mesh of its own, loaded whole and on demand, and each folder one as a whole. What objects name and do not
bring is added (`tests/harness/corpus_mesh.py`); only addresses of listeners and names that DNS would be asked for are
exchanged.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from store.manifest import read_paths
from store.validation.check import check_object
from tests.harness.catalogs import Document
from tests.harness.corpus_mesh import compile_corpus, movable
from tests.harness.envoys import open_lab
from tests.harness.field_envoy import Served
from tests.harness.field_tls import write_certificates

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"
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
    pytest.mark.timeout(300),
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
