"""What every JSON document that we write says alike."""

from __future__ import annotations

import json
import tracemalloc

from weightaudit.render.plain import json_text


def test_a_large_document_is_written_within_a_few_times_its_own_length() -> None:
    """The memory that writing takes grows with the text, not with the number of its pieces."""
    document = [
        {"name": f"layer_{number}", "rms": number / 7, "shape": [number, 3]} for number in range(40_000)
    ]
    tracemalloc.start()
    text = json_text(document)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert text == json.dumps(document, indent=2) + "\n"
    assert peak < 5 * len(text)
