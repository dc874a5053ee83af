"""On which lines the keys of a TOML file stand."""

from __future__ import annotations

from weightaudit.policy.lines import lines_of

TEXT = '''\
extends = "strict"   # a preset
select = [
  "WA1",  # a = 1
]
rules.WA301.max = 3.0
[rules.norm-bound]
"axis" = 0
note = """
max = 7
"""
order = 2

[[overrides]]
roles = ["bias"]
[overrides.rules."WA203"]
limit = 1.0
[[ overrides ]]
fail_on = 1
'''


def test_keys_and_tables_are_found_where_they_stand() -> None:
    """Dotted keys, quoted keys, tables below lists of tables and comments do not mislead it."""
    lines = lines_of(TEXT)
    assert lines == {
        ("extends",): 1,
        ("select",): 2,
        ("rules",): 5,
        ("rules", "WA301"): 5,
        ("rules", "WA301", "max"): 5,
        ("rules", "norm_bound"): 6,
        ("rules", "norm_bound", "axis"): 7,
        ("rules", "norm_bound", "note"): 8,
        ("rules", "norm_bound", "order"): 11,
        ("overrides", "0"): 13,
        ("overrides", "0", "roles"): 14,
        ("overrides", "0", "rules", "WA203"): 15,
        ("overrides", "0", "rules", "WA203", "limit"): 16,
        ("overrides", "1"): 17,
        ("overrides", "1", "fail_on"): 18,
    }


def test_a_table_can_be_the_root() -> None:
    """Of a pyproject.toml, only what stands in the table of weightaudit counts."""
    text = "[tool.other]\nselect = 1\n[tool.weightaudit]\nselect = []\n[tool.weightaudit.rules.WA101]\n"
    found = lines_of(text, ("tool", "weightaudit"))
    assert found == {(): 3, ("select",): 4, ("rules", "WA101"): 5}
