"""Files of the frameworks, made once."""

from pathlib import Path

import pytest
from commands import made_by


@pytest.fixture(scope="session")
def torch_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_by("torch", tmp_path_factory.mktemp("torch"), "torch_networks.py", "files")


@pytest.fixture(scope="session")
def keras_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_by("keras", tmp_path_factory.mktemp("keras"), "keras_networks.py")
