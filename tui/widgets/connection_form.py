"""Every parameter of a connection as a form: what is set, where from, and what was typed over it."""

from __future__ import annotations

from urllib.parse import urlsplit

from textual import on

from tui.core.connecting.masking import MASK, SECRETS, mask_uri
from tui.core.connections import TYPED, edited, unmask
from tui.core.errors import KitescopeError
from tui.core.files import expanded, is_file
from tui.core.settings import DATABASE, Settings, Value
from tui.widgets.fields import Wrong
from tui.widgets.form import ChoiceField, Field, Form, Heading, TextField
from tui.widgets.text import plain

_URIS = frozenset({"uri", DATABASE})
_FILES = frozenset({"client_key_path", "client_pem_path", "ca_pem_path", "server_pem_path"})
_LABELS = {
    "uri": ("URI", "Milvus' address, http://host:19530 or https://…; empty: Kitescope's own Milvus Lite"),
    "user": ("User", "Together with the password; leave both empty when a token is given"),
    "password": ("Password", "Never shown, and written to a file only when you say so"),
    "token": ("Token", "An API key, or user:password; instead of user and password"),
    "db_name": ("Database", "Milvus' database; empty: default"),
    "secure": ("TLS", "On: encrypt, also when the URI begins with http://"),
    "server_name": ("Server name", "The name in the server's certificate, when it is not the host's"),
    "server_pem_path": ("Server pem", "One-way TLS: the server's certificate or its CA"),
    "ca_pem_path": ("CA pem", "Two-way TLS: the CA of both, together with client pem and client key"),
    "client_pem_path": ("Client pem", "Two-way TLS: your certificate"),
    "client_key_path": ("Client key", "Two-way TLS: your private key"),
    DATABASE: (
        "URI",
        "mongodb://…; empty: FiftyOne's own service. f4 here tests only this",
    ),
}
_PLACEHOLDERS = {
    "uri": "Kitescope's own Milvus Lite",
    "db_name": "default",
    DATABASE: "FiftyOne's own service",
}


class ConnectionForm(Form):
    """The parameters; ``edits`` holds what the user typed, by name, secrets and all."""

    def __init__(self, *, id: str | None = None) -> None:
        self._base: Settings | None = None
        self.edits: dict[str, str] = {}
        milvus = [self._field(name) for name in _LABELS if name != DATABASE]
        super().__init__(
            Heading("Milvus"), *milvus, Heading("FiftyOne's database"), self._field(DATABASE), id=id
        )

    def _field(self, name: str) -> Field:
        label, hint = _LABELS[name]
        if name == "secure":
            return ChoiceField(name, label, [("", "by URI"), ("true", "on"), ("false", "off")], hint=hint)
        return TextField(
            name,
            label,
            wrong=_checks(name),
            hint=hint,
            placeholder=_PLACEHOLDERS.get(name, ""),
            password=name in SECRETS,
        )

    def load(self, base: Settings | None, edits: dict[str, str]) -> None:
        """Show these settings with what was typed over them; the dict is kept and filled."""
        self._base = base
        self.edits = edits
        self.disabled = base is None
        self._show()

    def settings(self) -> Settings:
        """What the form says now.

        Raises:
            KitescopeError: a value cannot mean anything.
        """
        assert self._base is not None
        return edited(self._base, self.edits)

    @on(Form.Changed)
    def _typed(self, event: Form.Changed) -> None:
        if self._base is None:
            return
        value = self._value_of(self._base, event.key).value
        text = unmask(event.value, str(value)) if event.key in _URIS and value is not None else event.value
        if text == _text(event.key, value, masked=False):
            self.edits.pop(event.key, None)
        else:
            self.edits[event.key] = str(expanded(text)) if event.key in _FILES and text else text
        self._show(leave=event.key)

    def _show(self, leave: str = "") -> None:
        """Show every value and its source; ``leave`` is being typed into."""
        try:
            settings = edited(self._base, self.edits) if self._base else None
        except KitescopeError:
            return  # the field that is wrong says so
        for name, field in self.fields.items():
            value = self._value_of(settings, name) if settings else Value(None, "default")
            if name != leave:
                field.put(_text(name, value.value))
                field.touched = name in self.edits
            field.note(_short(value), f"{_source(value)}{_LABELS[name][1]}")
        self.explain()

    @staticmethod
    def _value_of(settings: Settings, name: str) -> Value:
        return settings.database_uri if name == DATABASE else settings.milvus[name]


def _text(name: str, value: str | bool | None, *, masked: bool = True) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return mask_uri(value) if masked and name in _URIS else value


def _short(value: Value) -> str:
    """The source in one word."""
    if value.source.startswith("profile ") and value.source.endswith(")"):
        return value.source.rpartition("(")[2].split()[0].rstrip(":)")  # keyring, asked
    if value.value is None:
        return "taken away" if value.source == TYPED else ""
    return value.source.split()[0].removesuffix(".json")


def _source(value: Value) -> str:
    known = value.value is not None or value.source.endswith(")")
    return f"From {plain(value.source)}. " if known and value.source != TYPED else ""


def _checks(name: str) -> Wrong:
    if name == "uri":
        return _milvus_uri
    if name == DATABASE:
        return _database_uri
    return _file if name in _FILES else lambda _value: ""


def _milvus_uri(text: str) -> str:
    if not text or text.endswith(".db") or text.startswith("unix:/"):
        return ""
    if "://" not in text:
        return "Begin with http:// or https:// (or name a Milvus Lite file that ends in .db)"
    return _uri(text, ("http", "https", "tcp", "unix"))


def _database_uri(text: str) -> str:
    if text and not text.startswith(("mongodb://", "mongodb+srv://")):
        return "Begin with mongodb:// or mongodb+srv://"
    # A replica set lists several hosts, whose ports urlsplit cannot read.
    return "" if "," in text else _uri(text, ("mongodb", "mongodb+srv")) if text else ""


def _uri(text: str, schemes: tuple[str, ...]) -> str:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return "The port is not a number up to 65535"
    if parts.scheme not in schemes:
        return f"Begin with {' or '.join(f'{scheme}://' for scheme in schemes[:2])}"
    if parts.scheme != "unix" and not parts.hostname:
        return "The host is missing"
    return "The port is not a number up to 65535" if port == 0 else ""


def _file(text: str) -> str:
    return "" if not text or is_file(text) else "There is no such file"


def still_masked(settings: Settings) -> str:
    """The parameter whose URI still holds a mask instead of a password; empty when none does."""
    values = {"uri": settings.milvus["uri"].value, DATABASE: settings.database_uri.value}
    marks = f":{MASK}@", f"={MASK}"
    return next((name for name, value in values.items() if any(one in str(value) for one in marks)), "")
