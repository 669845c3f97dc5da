"""What one can connect to, what typing over it gives, and what is written for stock FiftyOne."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tui.core import connections, profiles
from tui.core.connecting.exporting import env_lines, write_brain_config
from tui.core.connecting.masking import has_password, mask_uri, secrets_in, without_password
from tui.core.connections import TYPED, edited, list_connections, unmask
from tui.core.documents.import_guess import guess_type
from tui.core.errors import InvalidInput
from tui.core.settings import Settings, resolve
from tui.jobs.redact import redact, secrets_of

URI = "FIFTYONE_BRAIN_SIMILARITY_MILVUS_URI"
PASSWORD = "FIFTYONE_BRAIN_SIMILARITY_MILVUS_PASSWORD"


def environment(home: Path, **more: str) -> dict[str, str]:
    return {"HOME": str(home), **more}


def listed(current: Settings, env: dict[str, str]) -> dict[str, connections.Connection]:
    return {one.key: one for one in list_connections(current, env)}


class TestList:
    def test_every_source_has_its_own_values(self, home: Path) -> None:
        profiles.save(profiles.Profile("prod", {"uri": "http://prod:19530"}, readonly=True))
        folder = home / ".fiftyone"
        folder.mkdir()
        text = json.dumps({"similarity_backends": {"milvus": {"uri": "http://file:1", "user": "filed"}}})
        (folder / "brain_config.json").write_text(text)
        env = environment(home, **{URI: "http://env:2"})

        found = listed(resolve(env=env), env)

        assert {key: one.where for key, one in found.items()} == {
            "embedded": "Milvus Lite, here",
            "environment": "env:2",
            "brain-config": "file:1",
            "profile prod": "prod:19530",
        }
        environment_settings = found["environment"].settings
        assert environment_settings is not None
        assert environment_settings.milvus["uri"].source == f"env {URI}"
        assert environment_settings.milvus["user"].source == "brain_config.json", "as stock FiftyOne has it"
        assert [key for key, one in found.items() if one.current] == ["environment"]
        prod = found["profile prod"].settings
        assert prod is not None and prod.readonly

    def test_flags_are_a_connection_of_their_own(self, home: Path) -> None:
        env = environment(home)
        found = list_connections(resolve(flags={"uri": "http://flag:1"}, env=env), env)
        assert (found[0].key, found[0].current) == ("session", True)
        assert sum(one.current for one in found) == 1

    def test_a_typed_secret_keeps_the_profile_current(self, home: Path) -> None:
        profiles.save(profiles.Profile("prod", {"uri": "http://prod:1", "user": "u"}))
        env = environment(home)
        settings = resolve(flags={"password": "typed"}, env=env, profile="prod")
        one = listed(settings, env)["profile prod"]
        assert one.current and one.settings is not None
        assert one.settings.milvus["password"].value == "typed"

    def test_a_broken_file_costs_its_own_line(self, home: Path) -> None:
        env = environment(home)
        current = resolve(env=env, profile="embedded")
        profiles.path().parent.mkdir(parents=True)
        profiles.path().write_text("[profiles.a]\nnonsense = 1\n")
        found = listed(current, env)
        assert found["embedded"].settings is not None
        assert found["profiles"].settings is None
        assert str(profiles.path()) in found["profiles"].error

    def test_readonly_of_the_session_holds_for_every_choice(self, home: Path) -> None:
        profiles.save(profiles.Profile("prod", {"uri": "http://prod:1"}))
        env = environment(home)
        found = listed(resolve(env=env, readonly=True), env)
        assert {"embedded", "profile prod"} <= set(found)
        assert all(one.settings is not None and one.settings.readonly for one in found.values())


class TestEdited:
    def base(self, **flags: object) -> Settings:
        return resolve(flags=flags, env={"HOME": "/nowhere"}, profile="embedded")

    def test_a_password_does_not_follow_to_another_server(self) -> None:
        base = self.base(uri="http://a:1", user="u", password="secret", token="key")
        moved = edited(base, {"uri": "http://b:1"})
        assert (moved.milvus["password"].value, moved.milvus["token"].value) == (None, None)
        assert moved.milvus["user"].value == "u"
        typed = edited(base, {"uri": "http://b:1", "password": "new"})
        assert (typed.milvus["password"].value, typed.milvus["password"].source) == ("new", TYPED)

    def test_other_edits_keep_it(self) -> None:
        kept = edited(self.base(uri="http://a:1", password="secret"), {"secure": "true", "db_name": ""})
        assert kept.milvus["password"].value == "secret"
        assert kept.milvus["secure"].value is True
        assert kept.milvus["db_name"].value is None

    def test_empty_takes_away(self) -> None:
        gone = edited(self.base(uri="http://a:1", user="u"), {"uri": "", "user": ""})
        assert gone.embedded_milvus and gone.milvus["user"].value is None

    def test_what_cannot_be_is_refused(self) -> None:
        with pytest.raises(InvalidInput):
            edited(self.base(), {"secure": "perhaps"})


class TestUnmask:
    ORIGINAL = "https://root:p@ss@milvus:19530/db"

    @pytest.mark.parametrize(
        ("typed", "meant"),
        [
            ("https://root:***@milvus:19530/db", ORIGINAL),
            ("https://root:***@milvus:19530/other", "https://root:p@ss@milvus:19530/other"),
            ("https://root:***@elsewhere:19530/db", "https://root:***@elsewhere:19530/db"),
            ("https://admin:***@milvus:19530/db", "https://admin:***@milvus:19530/db"),
            ("https://root:new@milvus:19530/db", "https://root:new@milvus:19530/db"),
            ("", ""),
        ],
    )
    def test_the_mask_stands_for_the_password_of_that_login(self, typed: str, meant: str) -> None:
        assert unmask(typed, self.ORIGINAL) == meant

    def test_the_mask_stands_for_the_secret_of_an_option(self) -> None:
        original = "mongodb://root:p@host/?tlsCertificateKeyFilePassword=a@b&tls=true"
        shown = "mongodb://root:***@host/?tlsCertificateKeyFilePassword=***&tls=true"
        assert mask_uri(original) == shown and unmask(shown, original) == original
        assert unmask(f"{shown}&x=y", original) == f"{original}&x=y"


_OPTIONS = ["tlsCertificateKeyFilePassword", "authmechanismproperties", "password", "Token"]


class TestSecretsInUris:
    @settings(deadline=None)
    @given(
        password=st.none() | st.text("ab@:/?=%#;é "),
        options=st.lists(st.sampled_from(_OPTIONS), max_size=3, unique=True),
        secret=st.text("ab@:/?=%#;é "),
        others=st.permutations(["a=b", "c=d"]),
        place=st.integers(0, 2),
    )
    def test_none_is_shown_written_or_logged(
        self, password: str | None, options: list[str], secret: str, others: list[str], place: int
    ) -> None:
        login = "" if password is None else f"me:zq{password}zq@"
        query = [*others[:place], *(f"{name}=zq{secret}zq" for name in options), *others[place:]]
        uri = f"mongodb://{login}host:27017/db?{'&'.join(query)}"
        bare = without_password(uri)
        user = "me@" if login else ""
        assert bare == f"mongodb://{user}host:27017/db?{'&'.join(others)}" == without_password(bare)
        assert has_password(uri) is bool(login or options) and not has_password(bare)
        assert "zq" not in mask_uri(uri) + redact(f"cannot open {uri} !", secrets_in(uri))

    def test_an_option_is_neither_exported_nor_saved(self) -> None:
        uri = "mongodb://host/?tls=true&tlsCertificateKeyFilePassword=h1dden"
        found = resolve(flags={"uri": "http://lab:1?token=h1dden", "database_uri": uri}, env={})
        assert "h1dden" not in env_lines(found) and "h1dden" in env_lines(found, with_secrets=True)
        profiles.save(connections.profile_of(found, "lab", readonly=False, protected=False), keep="ask")
        assert "h1dden" not in profiles.path().read_text()
        assert "h1dden" not in redact(uri, secrets_of(found))


class TestExport:
    def settings(self, home: Path) -> Settings:
        flags = {"uri": "http://m:1", "user": "u", "password": "pa55", "secure": True}
        return resolve(flags=flags, env=environment(home))

    def test_brain_config_is_merged_and_kept(self, home: Path) -> None:
        env = environment(home)
        file = home / ".fiftyone" / "brain_config.json"
        file.parent.mkdir()
        before = {
            "similarity_backends": {"qdrant": {"url": "q"}, "milvus": {"metric": "euclidean", "uri": "x"}}
        }
        file.write_text(json.dumps(before))

        path, backup = write_brain_config(self.settings(home), env, default_backend="milvus")

        written = json.loads(file.read_text())
        milvus = {"metric": "euclidean", "uri": "http://m:1", "user": "u", "secure": True}
        assert written["similarity_backends"] == {"qdrant": {"url": "q"}, "milvus": milvus}
        assert written["default_similarity_backend"] == "milvus"
        assert path == file and backup is not None and json.loads(backup.read_text()) == before
        assert stat.S_IMODE(file.stat().st_mode) == 0o600

    def test_secrets_only_on_request(self, home: Path) -> None:
        env = environment(home)
        path, backup = write_brain_config(self.settings(home), env)
        assert backup is None and "pa55" not in path.read_text()
        write_brain_config(self.settings(home), env, with_secrets=True)
        assert json.loads(path.read_text())["similarity_backends"]["milvus"]["password"] == "pa55"
        assert "pa55" not in env_lines(self.settings(home))

    def test_a_broken_file_is_left_alone(self, home: Path) -> None:
        file = home / "config.json"
        file.write_text('{"a": ')
        env = environment(home, FIFTYONE_BRAIN_CONFIG_PATH=str(file))
        settings = resolve(flags={"uri": "http://m:1"}, env=environment(home))
        with pytest.raises(InvalidInput, match=r"config\.json was not changed"):
            write_brain_config(settings, env)
        assert file.read_text() == '{"a": '


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        (["a.jpg"], "image-directory"),
        (["deep/a.JPG"], "image-directory"),
        (["cat/1.png", "dog/2.png"], "image-classification-directory-tree"),
        (["data/1.png", "labels.json"], "coco"),
        (["dataset.yaml", "images/1.png"], "yolov5"),
        (["data/1.png", "labels/1.xml"], "voc"),
        (["samples.json", "metadata.json", "data/1.png"], "fiftyone"),
        (["notes.txt"], None),
    ],
)
def test_the_kind_of_a_folder_is_guessed(tmp_path: Path, files: list[str], kind: str | None) -> None:
    for name in files:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).touch()
    assert guess_type(tmp_path / "in") == kind
