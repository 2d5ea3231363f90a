"""The guides of docs/: each block that somebody would paste is run here, or by the test that runs its page; and each thing that can be told has
its place in the runbook.

By hand: pytest Tests/Clients/guides_test.py after a build.
"""

import os
import re
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "..", "ops", "drills"))

from pages import block  # noqa: E402
from weirlab import LOOPBACK, ROOT, Lab  # noqa: E402


def source(path):
    with open(os.path.join(ROOT, path)) as file:
        return file.read()


# The runbook is whole


def words_of(path, enumeration):
    """The raw values of a Swift enumeration of texts."""
    body = re.search(rf"enum {enumeration}: String.*?\n {{4,8}}case .*?\n(?= {{0,4}}}})", source(path), re.S).group()
    # A case without a text is called by its own name.
    return {value or name for line in re.findall(r"case (.*)", body)
            for name, value in re.findall(r'(\w+)(?: = "(\w+)")?', line)}


def test_each_finding_and_each_event_has_its_section():
    told = words_of("ControlPlane/Domain/Operation/Finding.swift", "Code") | words_of("Shared/Nouns/Webhooks.swift", "AlertKind") - {"test"}
    assert len(told) > 35
    assert set(re.findall(r"^### (\w+)$", source("docs/runbook.md"), re.M)) == told


# Where what a process says of its health is written: each sentence that such a file holds stands in the runbook, with … for what differs.
SENTENCES = {
    "DataPlane/Proxy/Operator/OperatorStatus.swift": r'(?:problems|warnings)(?:\.append\(| \+= quarantined\.map \{ )"(.*)"\)?',
    "DataPlane/Proxy/Usage/JournalShared.swift": r'(?:refusing|degraded)\("(.*)"\)|waiting = "(.*)"',
    "DataPlane/Proxy/Usage/UsagePipeline.swift": r'problems\.append\("(.*)"\)',
    "DataPlane/Proxy/Limits/Redis/RedisHealth.swift": r'\? nil : "(.*)"',
    "DataPlane/Proxy/Operator/EndpointStates.swift": r'^ +"(endpoint .*|the provider .*)"$',
    "DataPlane/Proxy/Snapshots/SnapshotBoot.swift": r'problems\.append\(BootProblem\([^"]*"(.*)"\)\)',
    "DataPlane/Proxy/Snapshots/SnapshotStore+Apply.swift": r'alarm\(kind, "(.*)"\)',
    "DataPlane/Proxy/Transport/ServerTLS.swift": r'return "(the .*)"',
    "ControlPlane/Domain/Operation/Health.swift": r'totals\.map \{ "(.*)" \}|state = "(\w+)"',
    "ControlPlane/Domain/Fleet/SealedSecrets.swift": r'warn\(id, "(.*)"\)',
    "ControlPlane/Domain/Identities/UpstreamKeys.swift": r'text\.map \{ "(.*)" \}',
}


@pytest.mark.parametrize("path", list(SENTENCES))
def test_each_reason_of_a_process_s_health_is_explained(path):
    page = source("docs/runbook.md")
    found = ["".join(groups) if isinstance(groups, tuple) else groups for groups in re.findall(SENTENCES[path], source(path), re.M)]
    assert found, "no sentence is found in it any more: look where they are now"
    for sentence in found:
        # What stands between the things that differ, the longest piece of it.
        pieces = re.split(r"\\\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)", sentence)
        piece = max(pieces, key=len).strip(" :;()")
        assert piece in page, f"docs/runbook.md does not explain: {sentence}"
