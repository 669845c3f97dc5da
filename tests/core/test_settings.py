"""Every connection value has the source that stock FiftyOne gives it; failures name file and remedy."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.engines.programs import Program
from tui.core import profiles
from tui.core.connecting import stock
from tui.core.errors import InvalidInput, UnknownName
from tui.core.profiles import Profile
from tui.core.settings import MILVUS_PARAMETERS, Settings, resolve

PREFIX = "FIFTYONE_BRAIN_SIMILARITY_MILVUS_"
KNOWN = (*MILVUS_PARAMETERS, "collection_name", "metric", "consistency_level")

# What stock FiftyOne would connect with: the functions that compute_similarity(backend="milvus") calls.
STOCK = """
import os
import fiftyone.brain as fb
import fiftyone.brain.config as fbc
import fiftyone.brain.similarity as fbs
import fiftyone.core.config as foc

def ask(environment, flags, names):
    for name in [n for n in os.environ if n.startswith("FIFTYONE_")]:
        del os.environ[name]
    os.environ.update(environment)
    fb.brain_config = fbc.load_brain_config()
    config = fbs._parse_config("milvus", **flags)
    main = foc.load_config()
    return {
        "milvus": {name: getattr(config, name) for name in names},
        "default_backend": fb.brain_config.default_similarity_backend,
        "backends": sorted(fb.brain_config._BUILTIN_SIMILARITY_BACKENDS),
        "database_uri": main.database_uri,
        "database_name": main.database_name,
        "database_dir": main.database_dir,
    }
"""


@pytest.fixture(scope="module")
def fiftyone() -> Iterator[Program]:
    with Program(STOCK) as program:
        yield program


def answers_of_both(
    fiftyone: Program,
    folder: Path,
    environment: Mapping[str, str],
    flags: Mapping[str, Any],
    brain: Any,
    main: Any,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What stock FiftyOne would use, and what Kitescope uses."""
    (folder / "brain.json").write_text(json.dumps(brain))
    (folder / "config.json").write_text(json.dumps(main))
    full = {
        "HOME": os.environ["HOME"],
        "FIFTYONE_BRAIN_CONFIG_PATH": str(folder / "brain.json"),
        "FIFTYONE_CONFIG_PATH": str(folder / "config.json"),
        **environment,
    }
    theirs = fiftyone.ask(f"ask({full!r}, {dict(flags)!r}, {KNOWN!r})")
    found = resolve(flags=flags, env=full)
    ours = {
        "milvus": {
            **{name: value.value for name, value in found.milvus.items()},
            **{name: value.value for name, value in found.defaults.items()},
        },
        "default_backend": found.default_backend.value,
        "backends": list(stock.BACKENDS),
        "database_uri": found.database_uri.value,
        "database_name": found.database_name,
        "database_dir": found.database_dir,
    }
    return theirs, ours


def same(theirs: dict[str, Any], ours: dict[str, Any], metric_told: bool) -> None:
    if not metric_told:
        # The one default on purpose different: stock FiftyOne's dotproduct ranks by length of the vectors.
        assert (theirs["milvus"].pop("metric"), ours["milvus"].pop("metric")) == ("dotproduct", "cosine")
    theirs["milvus"] = {
        name: value if value is None or isinstance(value, bool) else str(value)
        for name, value in theirs["milvus"].items()
    }
    theirs["database_dir"] = ours["database_dir"] if not theirs["database_dir"] else theirs["database_dir"]
    assert ours == theirs


SAMPLES: dict[str, tuple[Any, Any, Any]] = dict.fromkeys(MILVUS_PARAMETERS, ("flags", "envs", "files"))
SAMPLES["uri"] = ("http://flag:1", "http://env:2", "http://file:3")
SAMPLES["secure"] = (True, "true", False)


@pytest.mark.parametrize("name", MILVUS_PARAMETERS)
@pytest.mark.parametrize("sources", list(itertools.product([False, True], repeat=3)), ids=str)
def test_each_parameter_from_each_source(
    name: str, sources: tuple[bool, bool, bool], fiftyone: Program, tmp_path: Path
) -> None:
    flag, env, file = SAMPLES[name]
    flags = {name: flag} if sources[0] else {}
    environment = {PREFIX + name.upper(): env} if sources[1] else {}
    brain = {"similarity_backends": {"milvus": {name: file}}} if sources[2] else {}
    theirs, ours = answers_of_both(
        fiftyone, tmp_path, environment, flags, brain, {"database_dir": str(tmp_path)}
    )
    same(theirs, ours, metric_told=False)
    found = resolve(
        flags=flags,
        env={
            **environment,
            "FIFTYONE_BRAIN_CONFIG_PATH": str(tmp_path / "brain.json"),
            "HOME": str(tmp_path),
        },
    ).milvus[name]
    expected = "flag" if sources[0] else f"env {PREFIX}{name.upper()}" if sources[1] else "default"
    assert found.source == ("brain.json" if expected == "default" and sources[2] else expected)


word = st.text("abcXYZ-_./", min_size=1, max_size=8)
text_or_nothing = st.one_of(word, st.sampled_from(["", "None", "7", "4.5"]))
flag_values = st.fixed_dictionaries({}, optional={n: word for n in MILVUS_PARAMETERS if n != "secure"})
env_values = st.fixed_dictionaries(
    {},
    optional={
        **{PREFIX + n.upper(): text_or_nothing for n in MILVUS_PARAMETERS if n != "secure"},
        PREFIX + "SECURE": st.sampled_from(["True", "true", "False", "false", "None", ""]),
        PREFIX + "uri": word,
        PREFIX + "METRIC": st.sampled_from(["cosine", "euclidean"]),
        PREFIX + "CONSISTENCY_LEVEL": st.sampled_from(["Strong", "Eventually"]),
        PREFIX + "COLLECTION_NAME": word,
        "FIFTYONE_BRAIN_DEFAULT_SIMILARITY_BACKEND": st.sampled_from(["milvus", "qdrant", "no-such", ""]),
        "FIFTYONE_BRAIN_SIMILARITY_BACKENDS": st.sampled_from(["*", "*,own", "milvus", "milvus,qdrant"]),
        "FIFTYONE_DATABASE_URI": st.one_of(word, st.just("")),
        "FIFTYONE_DATABASE_NAME": st.one_of(word, st.just("")),
        "FIFTYONE_DATABASE_DIR": st.sampled_from(["/srv/db", "relative/db", "~/db", ""]),
    },
)
brain_files = st.fixed_dictionaries(
    {},
    optional={
        "default_similarity_backend": st.sampled_from(["milvus", "sklearn", "own", "no-such", None]),
        "similarity_backends": st.fixed_dictionaries(
            {},
            optional={
                "own": st.just({}),
                "milvus": st.fixed_dictionaries(
                    {},
                    optional={
                        **{n: st.one_of(word, st.none()) for n in MILVUS_PARAMETERS if n != "secure"},
                        "secure": st.one_of(st.booleans(), st.none()),
                        "metric": st.sampled_from(["cosine", "dotproduct"]),
                        "collection_name": word,
                    },
                ),
            },
        ),
    },
)
SECURE_IN_FILE = {"similarity_backends": {"milvus": {"secure": True, "token": "t"}}}
main_files = st.fixed_dictionaries(
    {}, optional={"database_uri": st.one_of(word, st.none()), "database_name": word, "database_dir": word}
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(env=env_values, flags=flag_values, brain=brain_files, main=main_files)
@example(env={PREFIX + "SECURE": ""}, flags={}, brain=SECURE_IN_FILE, main={})
@example(env={PREFIX + "SECURE": "None", PREFIX + "TOKEN": "None"}, flags={}, brain=SECURE_IN_FILE, main={})
def test_any_mixture_is_read_as_stock_fiftyone_reads_it(
    env: dict[str, str],
    flags: dict[str, str],
    brain: dict[str, Any],
    main: dict[str, Any],
    fiftyone: Program,
    tmp_path: Path,
) -> None:
    # One variable, two spellings: which comes last is the order of the environment, so ask about one of them.
    if PREFIX + "URI" in env:
        env = {name: value for name, value in env.items() if name != PREFIX + "uri"}
    main = {"database_dir": str(tmp_path), **main}
    theirs, ours = answers_of_both(fiftyone, tmp_path, env, flags, brain, main)
    milvus = brain.get("similarity_backends", {}).get("milvus", {})
    same(theirs, ours, metric_told=PREFIX + "METRIC" in env or "metric" in milvus)


def test_a_password_like_a_number_arrives_as_it_was_written() -> None:
    """Stock FiftyOne turns them into 7 and a list, and cannot log in with either."""
    assert resolve(env={PREFIX + "PASSWORD": "007"}).milvus_kwargs() == {"password": "007"}
    assert resolve(env={PREFIX + "PASSWORD": "a,b"}).milvus_kwargs() == {"password": "a,b"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1", True), ("yes", True), ("on", True), ("0", False), ("No", False), ("off", False)],
)
def test_secure_is_always_a_bool(text: str, expected: bool) -> None:
    assert resolve(env={PREFIX + "SECURE": text}).milvus_kwargs() == {"secure": expected}


# -- what is wrong is named ---------------------------------------------------------------------
BROKEN: list[tuple[str, str, str]] = [
    ("brain_config.json", '{\n "similarity_backends": {\n  oops\n', "line 3 is not valid JSON"),
    ("brain_config.json", "[]", "does not hold a JSON object"),
    ("brain_config.json", '{"similarity_backends": 3}', "similarity_backends in"),
    ("brain_config.json", '{"similarity_backends": {"milvus": {"uri": ["x"]}}}', "milvus.uri in"),
    (
        "brain_config.json",
        '{"similarity_backends": {"milvus": {"secure": "perhaps"}}}',
        "neither true nor false",
    ),
    ("config.json", "{,}", "line 1 is not valid JSON"),
    ("config.json", '{"database_uri": 3}', "database_uri in"),
]


@pytest.mark.parametrize(("name", "text", "complaint"), BROKEN)
def test_a_broken_file_is_named(name: str, text: str, complaint: str, home: Path) -> None:
    file = home / ".fiftyone" / name
    file.parent.mkdir()
    file.write_text(text)
    with pytest.raises(InvalidInput) as caught:
        resolve()
    assert str(file) in caught.value.what
    assert complaint in caught.value.what
    assert caught.value.remedy


def test_a_default_that_does_not_exist_is_named_where_it_is_used(home: Path) -> None:
    file = home / ".fiftyone" / "brain_config.json"
    file.parent.mkdir(exist_ok=True)
    milvus = {"metric": "cosin", "consistency_level": "Strong"}
    file.write_text(json.dumps({"similarity_backends": {"milvus": milvus}}))
    # Who only searches has nothing to do with it.
    settings = resolve()
    assert settings.default("consistency_level") == "Strong"
    assert settings.default("collection_name") is None
    with pytest.raises(InvalidInput, match=r"brain_config.json names the metric 'cosin'") as no:
        settings.default("metric")
    assert "cosine, dotproduct, euclidean" in no.value.remedy
    variable = "FIFTYONE_BRAIN_SIMILARITY_MILVUS_CONSISTENCY_LEVEL"
    with pytest.raises(InvalidInput, match=f"env {variable} names the consistency level 'strong'"):
        resolve(env={"HOME": str(home), variable: "strong"}).default("consistency_level")


def test_a_file_that_is_no_text_is_named(home: Path) -> None:
    file = home / ".fiftyone" / "brain_config.json"
    file.parent.mkdir()
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidInput, match="not a text file") as caught:
        resolve()
    assert str(file) in caught.value.what


def test_a_wrong_flag_and_timeout_are_refused() -> None:
    with pytest.raises(InvalidInput, match="secure"):
        resolve(flags={"secure": "perhaps"})
    with pytest.raises(InvalidInput, match="timeout"):
        resolve(timeout=0)
    with pytest.raises(ValueError, match="no such connection"):
        resolve(flags={"urn": "x"})


# -- profiles among the sources -----------------------------------------------------------------
def test_the_default_profile_comes_last() -> None:
    profiles.save(Profile("lab", {"uri": "http://lab:1", "db_name": "vectors"}, "mongodb://lab"), keep="file")
    profiles.set_default("lab")
    plain = resolve(env={})
    assert (plain.milvus["uri"].value, plain.milvus["uri"].source) == ("http://lab:1", "profile lab")
    assert (plain.database_uri.value, plain.profile) == ("mongodb://lab", "lab")
    env = {PREFIX + "URI": "http://env:2", "FIFTYONE_DATABASE_URI": "mongodb://env"}
    found = resolve(env=env)
    assert (found.milvus["uri"].value, found.database_uri.value) == ("http://env:2", "mongodb://env")
    assert (found.milvus["db_name"].value, found.milvus["db_name"].source) == ("vectors", "profile lab")


def test_a_named_profile_comes_before_the_environment_and_after_flags() -> None:
    profiles.save(Profile("lab", {"uri": "http://lab:1"}, "mongodb://lab", readonly=True))
    env = {PREFIX + "URI": "http://env:2", PREFIX + "USER": "me", "FIFTYONE_DATABASE_URI": "mongodb://env"}
    found = resolve(env=env, profile="lab", flags={"db_name": "x"})
    assert found.milvus_kwargs() == {"uri": "http://lab:1", "user": "me", "db_name": "x"}
    assert (found.database_uri.value, found.readonly) == ("mongodb://lab", True)
    assert resolve(env=env, profile="lab", flags={"uri": "http://flag:3"}).milvus["uri"].source == "flag"
    with pytest.raises(UnknownName, match="no profile 'none'"):
        resolve(profile="none")


def test_a_saved_password_goes_only_to_the_server_it_was_saved_with() -> None:
    secret = Profile("lab", {"uri": "http://lab:1", "user": "me", "password": "pa55"})
    profiles.save(secret, keep="file")
    profiles.set_default("lab")
    assert resolve(env={}).milvus_kwargs()["password"] == "pa55"
    assert resolve(env={PREFIX + "URI": "http://lab:1"}).milvus_kwargs()["password"] == "pa55"
    assert "password" not in resolve(env={PREFIX + "URI": "http://env:2"}).milvus_kwargs()
    assert "password" not in resolve(env={}, flags={"uri": "http://env:2"}, profile="lab").milvus_kwargs()
    env = {PREFIX + "URI": "http://env:2", PREFIX + "TOKEN": "t0ken", PREFIX + "PASSWORD": "other"}
    named = resolve(env=env, profile="lab").milvus_kwargs()
    assert (named["password"], "token" in named) == ("pa55", False)
    alone = {PREFIX + "TOKEN": "t0ken"}
    assert resolve(env=alone, profile="lab").milvus_kwargs()["token"] == "t0ken"


def test_embedded_can_be_asked_for_against_the_environment() -> None:
    env = {PREFIX + "URI": "http://env:2", PREFIX + "TOKEN": "t", "FIFTYONE_DATABASE_URI": "mongodb://env"}
    found = resolve(env=env, profile="embedded")
    assert (found.embedded_milvus, found.embedded_database, found.milvus_kwargs()) == (True, True, {})
    assert found.milvus["uri"].source == "profile embedded"
    assert not resolve(env=env, profile="embedded", flags={"uri": "http://x:1"}).embedded_milvus


# -- nothing set, and nothing shown -------------------------------------------------------------
def test_nothing_set_means_embedded(home: Path) -> None:
    found = resolve()
    assert (found.embedded_milvus, found.embedded_database, found.milvus_kwargs()) == (True, True, {})
    assert {value.source for value in found.milvus.values()} == {"default"}
    assert found.database_dir == str(home / ".fiftyone" / "var" / "lib" / "mongo")
    assert resolve(readonly=True).readonly


def test_secrets_are_never_shown_and_survive_the_pipe() -> None:
    flags = {
        "uri": "http://me:h1dden@host:1",
        "password": "h1dden",
        "token": "me:h1dden",
        "database_uri": "mongodb://me:h1d@den@host/?tlsCertificateKeyFilePassword=h1dden&tls=true",
    }
    found = resolve(flags=flags, env={})
    shown = json.dumps(found.masked()) + repr(found) + str(found)
    assert "h1d" not in shown
    assert found.masked()["uri"] == {"value": "http://me:***@host:1", "source": "flag"}
    assert found.masked()["password"] == {"value": "***", "source": "flag"}
    assert found.database_uri.shown("database_uri") == (
        "mongodb://me:***@host/?tlsCertificateKeyFilePassword=***&tls=true"
    )
    again = Settings.from_json(found.to_json())
    assert again == found
    assert again.milvus_kwargs()["password"] == "h1dden"


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"milvus": 3}', "h1dden", '{"milvus":{},"database_uri":["h1dden"]}']
)
def test_settings_that_are_not_whole_are_refused_without_repeating_them(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Settings.from_json(text)
    assert "h1dden" not in str(caught.value)
    assert caught.value.__cause__ is None
