"""The keys: one list, from which help, palette and README are made."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tui import keys

README = Path(__file__).parents[2] / "README.md"


def test_every_binding_has_an_id_and_ids_are_unique():
    ids = Counter(binding.id for group in keys.GROUPS.values() for binding in group)
    assert None not in ids
    assert [name for name, count in ids.items() if count > 1] == []


def test_a_key_means_one_thing_on_each_screen():
    everywhere = keys.APP + keys.COMMON
    for title in ("Connection", "Datasets", "Build", "Jobs", "Runs", "Search"):
        own = [key for binding in keys.GROUPS[title] for key in binding.key.split(",")]
        shared = [key for binding in everywhere for key in binding.key.split(",")]
        assert [key for key, count in Counter(own).items() if count > 1] == [], title
        assert sorted(set(own) & set(shared)) == [], title


def test_keys_that_terminals_and_tmux_take_are_not_used():
    used = {key for group in keys.GROUPS.values() for binding in group for key in binding.key.split(",")}
    assert used & {"ctrl+b", "ctrl+s", "ctrl+enter", "ctrl+q", "ctrl+z"} == set()


def test_the_readme_has_the_table_that_the_keys_make():
    assert keys.markdown() in README.read_text()
