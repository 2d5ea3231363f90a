"""The commands of docs/, as they stand there."""

import os
import re


def block(page, language, name):
    """The block of docs/PAGE.md whose first line names it."""
    with open(os.path.join(os.path.dirname(__file__), "..", "..", "docs", f"{page}.md")) as file:
        text = file.read()
    blocks = [b for b in re.findall(rf"```{language}\n(.*?)```", text, re.S) if b.startswith(f"# {name}")]
    assert len(blocks) == 1, (page, language, name, len(blocks))
    return blocks[0]
