"""What is asked before a connection is written to a file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tui.widgets.dialogs import Ask
from tui.widgets.form import ChoiceField, Field, Form, TextField
from tui.widgets.form_dialog import FormDialog

if TYPE_CHECKING:
    from tui.core.profiles import Profile
    from tui.core.settings import Settings

_NO_YES = [("no", "no"), ("yes", "yes")]


def yes(answers: Mapping[str, str], key: str) -> bool:
    """Whether that was answered with yes; a question that was not asked is a no."""
    return answers.get(key) == "yes"


def profile_from(settings: Settings, answers: Mapping[str, str]) -> Profile:
    """The profile that these answers describe."""
    from tui.core.connections import profile_of

    return profile_of(
        settings,
        answers.get("name", "").strip(),
        readonly=yes(answers, "readonly"),
        protected=yes(answers, "protected"),
    )


def profile_dialog(settings: Settings, name: str, keyring: bool) -> FormDialog:
    """Name, marks, and where secrets are kept.

    Args:
        keyring: the system has one.
    """
    from tui.core import profiles
    from tui.core.connecting.masking import SECRETS

    fields: list[Field] = [
        TextField("name", "Name", name, wrong=_wrong_name, hint="A profile of that name is replaced"),
        ChoiceField(
            "readonly",
            "Read-only",
            _NO_YES,
            _word(settings.readonly),
            hint="Nothing may be changed through it",
        ),
        ChoiceField(
            "protected",
            "Protected",
            _NO_YES,
            _word(settings.protected),
            hint="Deleting asks for the name to be typed",
        ),
    ]
    if secrets := profile_from(settings, {}).secrets().keys():
        where = [("keyring", "keyring")] if keyring else []
        where += [("ask", "no"), ("file", "file")]
        hint = "keyring: the system keeps it · " if keyring else ""
        no = ["asked for when you connect"] if secrets & SECRETS else []
        no += ["left out of a URI: type it there again"] if secrets - SECRETS else []
        hint += f"no: {', '.join(no)} · file: in {profiles.path()}, mode 0600"
        fields.insert(1, ChoiceField("secrets", "Save password", where, where[0][0], hint=hint))
    return FormDialog("Save as a profile", Form(*fields))


def secret_dialog(settings: Settings, name: str) -> Ask:
    """Ask for the password or token that is missing, and say whose it is."""
    user = settings.milvus["user"].value
    whose = f"{name.capitalize()} of {user}" if user else name.capitalize()
    return Ask(f"{whose} for {settings.milvus['uri'].shown('uri')}", password=True)


def brain_config_dialog(settings: Settings) -> FormDialog:
    """Whether secrets are written, and whether milvus becomes the default backend."""
    from tui.core.connecting.stock import brain_config_path

    path = brain_config_path(os.environ)
    about = f"Stock FiftyOne reads {path}. Its other settings stay, and {path.name}.bak keeps what it was."
    if settings.embedded_milvus:
        about += "\nKitescope's own Milvus Lite answers there while it runs; Kitescope starts it when needed."
    fields: list[Field] = []
    if profile_from(settings, {}).without_secrets().milvus != settings.milvus_kwargs():
        hint = "yes: in plain text, mode 0600 · no: set it in the environment yourself"
        fields.append(ChoiceField("secrets", "Save password", _NO_YES, "no", hint=hint))
    backend = settings.default_backend.value
    source = settings.default_backend.source
    hint = f"yes: compute_similarity() uses milvus without backend=; now it is {backend} (from {source})"
    if source.startswith("env "):
        hint += ", which comes before this file"
    default = "yes" if backend == "milvus" else "no"
    fields.append(ChoiceField("backend", "Milvus default", _NO_YES, default, hint=hint))
    return FormDialog("Write to FiftyOne's brain config", Form(*fields), yes="Write", about=about)


def _word(value: bool) -> str:
    return "yes" if value else "no"


def _wrong_name(name: str) -> str:
    from tui.core import profiles

    if not name.strip():
        return "Give it a name"
    return profiles.wrong_name(name.strip())
