"""What the tests here share."""

import os
import sys

import openai
import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "ops", "drills"))

from weirlab import LOOPBACK  # noqa: E402


@pytest.fixture
def client(lab):
    """OpenAI's SDK with the lab's key; it tries nothing again."""
    with openai.OpenAI(base_url=f"http://{LOOPBACK}:{lab.data_planes[0].port}/v1", api_key=lab.key, max_retries=0) as client:
        yield client
