"""Connection: what to choose from, every parameter with its source beside it, and a test below."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, cast

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import DataTable

from tui import keys
from tui.core.connecting.masking import SECRETS
from tui.core.connections import Connection, list_connections
from tui.core.errors import KitescopeError
from tui.core.settings import DATABASE
from tui.core.words import counted
from tui.messages import ConnectRequested
from tui.screens.base import BaseScreen, core_call
from tui.screens.connection_messages import Listed, Stepped, Told
from tui.state import AppState
from tui.widgets.connection_form import ConnectionForm, still_masked
from tui.widgets.dialogs import Confirm
from tui.widgets.fitted import FitColumn, FittedTable
from tui.widgets.form import Form
from tui.widgets.form_dialog import FormDialog
from tui.widgets.save_forms import brain_config_dialog, profile_dialog, profile_from, secret_dialog, yes
from tui.widgets.steps import Steps, Taken
from tui.widgets.table import TableRow
from tui.widgets.text import cell, plain

if TYPE_CHECKING:
    from tui.core.connecting.connection_test import Step
    from tui.core.profiles import Keep, Profile
    from tui.core.settings import Settings

_COLUMNS = (FitColumn("name", "Connection", least=12), FitColumn("where", "Milvus", drop=1))
_STEP_NAMES = {"start": "Milvus Lite", "resolve": "address"}


class ConnectionScreen(BaseScreen):
    """Choose, edit, test, use, save."""

    MODE = "connection"
    MAIN = "#connections"
    BINDINGS = [*keys.CONNECTION]
    TITLE: ClassVar[str] = "Connection"

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[str, Connection] = {}
        self._edits: dict[str, dict[str, str]] = {}
        self._shown: str | None = None
        self._test = 0
        self._go_to: str | None = None
        self._asked: Settings | None = None

    def body(self) -> ComposeResult:
        """The list, the form, the steps of a test."""
        with Horizontal(id="connection-panes"):
            with Vertical(id="connections-pane", classes="pane"):
                yield FittedTable(_COLUMNS, id="connections", sort="name")
            with Vertical(id="connection-pane", classes="pane"):
                yield ConnectionForm(id="connection-form")
        yield Steps(id="steps")

    def on_mount(self) -> None:
        """Read what there is to choose from."""
        self.query_one("#connections", FittedTable).show_header = False
        self._load_connections()

    # What is shown

    @core_call("reading the connections")
    def _load_connections(self) -> Message | None:
        return Listed(list_connections(self.kitescope.settings))

    @on(Listed)
    def _show_list(self, message: Listed) -> None:
        first = not self._known
        self._known = {one.key: one for one in message.connections}
        there = {*self._known, self._go_to}
        self._edits = {key: edits for key, edits in self._edits.items() if key in there}
        table = self.query_one("#connections", FittedTable)
        table.show([self._row(place, one) for place, one in enumerate(message.connections)])
        current = next(one.key for one in message.connections if one.current) if first else None
        if self._go_to in self._known:  # not in a list that was read before it was made
            current, self._go_to = self._go_to, None
        if current is not None:
            table.go_to(current)
        self._show_form(table.current_key)

    def _row(self, place: int, one: Connection) -> TableRow:
        name = Text(no_wrap=True, overflow="ellipsis", end="")
        if one.current:
            status = {self.state.milvus.status, self.state.database.status}
            sign, style = (
                ("✗", "red")
                if "failed" in status
                else ("◌", "yellow")
                if "connecting" in status
                else ("●", "green")
            )
            name.append(f"{sign} ", style)
        else:
            name.append("  ")
        name.append(plain(one.name), "bold" if one.current else "" if one.settings else "red")
        name.append(" ✎" if self._edits.get(one.key) else "", "yellow")
        where = cell(one.where, "" if one.settings and one.where != "not set" else "dim")
        return TableRow(one.key, (name, where), (place, one.where), f"{one.name} {one.where}")

    def _show_rows(self) -> None:
        rows = [self._row(place, one) for place, one in enumerate(self._known.values())]
        self.query_one("#connections", FittedTable).show(rows)

    @on(DataTable.RowHighlighted, "#connections")
    def _highlighted(self, event: DataTable.RowHighlighted) -> None:
        self._show_form(self.query_one("#connections", FittedTable).current_key)

    def _show_form(self, key: str | None) -> None:
        one = self._known.get(key or "")
        if one is None:
            return
        self._shown = one.key
        form = self.query_one(ConnectionForm)
        form.load(one.settings, self._edits.setdefault(one.key, {}))
        pane = self.query_one("#connection-pane")
        pane.border_title = Content(plain(one.name))
        notes = ["read-only" if one.settings and one.settings.readonly else ""]
        notes.append("protected" if one.settings and one.settings.protected else "")
        if one.settings:
            backend = one.settings.default_backend
            notes.append(f"default backend {plain(str(backend.value))} ({backend.source.split()[0]})")
        pane.border_subtitle = Content(" · ".join(filter(None, notes)))
        if one.error:
            form.say(one.error)

    @on(Form.Changed)
    def _edited(self) -> None:
        self._show_rows()

    def watch_state(self, old: AppState, new: AppState) -> None:
        """Mark what is in use, and say when it answers."""
        if not self.is_mounted:
            return
        if old.connection != new.connection or (old.milvus, old.database) != (new.milvus, new.database):
            self._load_connections()
        status = {new.milvus.status, new.database.status}
        # Until the app took the wish, it is the connection before whose engines are ready.
        if self._asked is self.kitescope.settings and "connecting" not in status:
            self._asked = None
            if "failed" not in status:
                self.notify("Connected. 2 shows the datasets.", timeout=4)

    # What the form says

    @property
    def _one(self) -> Connection | None:
        return self._known.get(self._shown or "")

    def _settings(self) -> Settings | None:
        """What the form says; None, and the reason is told, when it cannot be used."""
        one, form = self._one, self.query_one(ConnectionForm)
        if one is None:
            self.tell("The connections are still being read.")
        elif one.settings is None:
            self.tell(one.error)
        elif form.check():
            try:
                settings = form.settings()
            except KitescopeError as error:
                self.tell(str(error))
                return None
            if masked := still_masked(settings):
                form[masked].complain("The saved password is for another server: type the one for this")
                form.go_to(masked)
                return None
            return self._as_itself(one, settings)
        return None

    def _as_itself(self, one: Connection, settings: Settings) -> Settings:
        """A profile stays that profile when all that was typed is a secret that it does not keep."""
        whole = one.kind == "profile" and self._edits.get(one.key, {}).keys() <= SECRETS
        return replace(settings, profile=one.name) if whole else settings

    def action_edit(self) -> None:
        """Into the form."""
        if self._one is not None and self._one.settings is None:
            self.tell(self._one.error)
        else:
            self.query_one(ConnectionForm).focus()

    # Use it

    def action_connect(self) -> None:
        """Use these values from now on."""
        if (settings := self._settings()) is not None:
            self._use(settings)

    @work(exclusive=True, group="use")
    async def _use(self, settings: Settings) -> None:
        one = self._one
        assert one is not None
        if (missing := settings.missing_secret) is not None:
            secret = await self.ask(secret_dialog(settings, missing))
            if secret is None:
                return
            form = self.query_one(ConnectionForm)
            form.edits[missing] = secret
            settings = self._as_itself(one, form.settings())
        self._asked = settings
        self.notify(f"Connecting to {plain(one.name)} …", markup=False, timeout=2)
        self.post_message(ConnectRequested(settings))
        if one.kind in ("profile", "embedded") and set(self._edits.get(one.key, ())) <= SECRETS:
            self._remember(one.name if one.kind == "profile" else None)

    @core_call("remembering the profile")
    def _remember(self, name: str | None) -> Message | None:
        from tui.core import profiles

        if profiles.default_name() != name:
            profiles.set_default(name)
        return None

    # Test it

    def action_test(self) -> None:
        """Walk the steps; late answers of an earlier test are dropped."""
        if (settings := self._settings()) is None:
            return
        self._test += 1
        one, field = self._one, self.query_one(ConnectionForm).current
        name = one.name if one else ""
        if field is not None and field.key == DATABASE:
            self.query_one(Steps).begin(f"Testing FiftyOne's database of {name}")
            self._load_database_steps(self._test, settings)
        else:
            self.query_one(Steps).begin(f"Testing {name}")
            self._load_steps(self._test, settings)

    def _tell_step(self, serial: int, step: Step, name: str = "") -> None:
        name = name or _STEP_NAMES.get(step.name, step.name)
        self.post_message(Stepped(serial, Taken(name, step.ok, step.elapsed_ms, step.detail, step.remedy)))

    @core_call("testing FiftyOne's database", exclusive=False)
    def _load_database_steps(self, serial: int, settings: Settings) -> Message | None:
        from tui.core.services.database_test import run_test

        tested = run_test(settings, lambda step: self._tell_step(serial, step))
        verdict = "works" if tested.ok else "does not work"
        return Stepped(serial, None, f"FiftyOne's database {verdict} · {tested.elapsed_ms:,.0f} ms")

    @core_call("testing the connection", exclusive=False)
    def _load_steps(self, serial: int, settings: Settings) -> Message | None:
        from tui.core.connecting.connection_test import run_test
        from tui.core.services import database_test

        milvus = run_test(settings, lambda step: self._tell_step(serial, step))
        if serial != self._test:
            return None
        database = database_test.run_test(settings)
        found = ", ".join(step.detail for step in database.steps if step.name in ("version", "datasets"))
        told = replace(database.last, elapsed_ms=database.elapsed_ms)
        if database.ok:
            told = replace(told, detail=found or database.last.detail)
        self._tell_step(serial, told, "FiftyOne")
        verdict = "works" if milvus.ok and database.ok else "does not work"
        total = milvus.elapsed_ms + database.elapsed_ms
        return Stepped(serial, None, f"The connection {verdict} · {total:,.0f} ms")

    @on(Stepped)
    def _show_step(self, message: Stepped) -> None:
        if message.serial != self._test:
            return
        steps = self.query_one(Steps)
        if message.step is not None:
            steps.add(message.step)
        else:
            steps.finish(message.verdict)

    def go_back(self) -> bool:
        """Cancel a test, close its steps, leave the form."""
        steps = self.query_one(Steps)
        if steps.running:
            self._test += 1
            steps.finish("The test was cancelled")
            return True
        if self.query_one(ConnectionForm).has_focus_within:
            self.focus_main()
            return True
        if steps.display:
            steps.display = False
            return True
        return super().go_back()

    # Keep it

    @work(exclusive=True, group="save")
    async def action_save(self) -> None:
        """Save as a profile."""
        if (settings := self._settings()) is None or self._one is None:
            return
        from tui.core.connecting import vault

        name, shown = self._one.name if self._one.kind == "profile" else "", self._shown or ""
        keyring = await asyncio.to_thread(vault.available)
        answers = await self.ask(profile_dialog(settings, name, keyring))
        if answers is not None:
            keep = cast("Keep", answers.get("secrets", "ask"))
            self._save_profile(profile_from(settings, answers), keep, shown)

    @core_call("saving the profile")
    def _save_profile(self, profile: Profile, keep: Keep, edited: str) -> Message | None:
        from tui.core import profiles

        left, key = profiles.save(profile, keep), f"profile {profile.name}"
        # What is not kept was typed for now: nobody has to type it twice.
        secrets = profile.secrets() if keep == "ask" else {}
        typed = {name: secrets[name] for name in SECRETS & secrets.keys()}
        where = {"keyring": ", its password in the keyring", "ask": " without its password", "file": ""}
        kept = where[keep] if profile.has_secrets() else ""
        said = f"Saved {profile.name}{kept} in {profiles.path()}"
        return Told(f"{said}. {left}" if left else said, go_to=key, saved=(edited, typed))

    @work(exclusive=True, group="save")
    async def action_save_brain_config(self) -> None:
        """Write to FiftyOne's brain config."""
        if (settings := self._settings()) is None:
            return
        dialog: FormDialog = brain_config_dialog(settings)
        answers = await self.ask(dialog)
        if answers is not None:
            self._write_brain_config(settings, yes(answers, "secrets"), yes(answers, "backend"))

    @core_call("writing FiftyOne's brain config")
    def _write_brain_config(self, settings: Settings, with_secrets: bool, default: bool) -> Message | None:
        from tui.core.connecting.exporting import write_brain_config

        path, backup = write_brain_config(
            settings, with_secrets=with_secrets, default_backend="milvus" if default else None
        )
        return Told(
            f"Wrote {path}" + (f"; what it was is in {backup.name}" if backup else ""), go_to="brain-config"
        )

    def action_copy(self) -> None:
        """Copy as ``export`` lines, without secrets."""
        if (settings := self._settings()) is not None:
            self._load_lines(settings)

    @core_call("writing export lines")
    def _load_lines(self, settings: Settings) -> Message | None:
        from tui.core.connecting.exporting import env_lines

        lines = env_lines(settings)
        secrets = sum(line.startswith("#") for line in lines.splitlines())
        left = f"; {counted(secrets, 'secret')} left out" if secrets else ""
        return Told(f"Copied {counted(len(lines.splitlines()) - secrets, 'export line')}{left}", copy=lines)

    @work(exclusive=True, group="save")
    async def action_remove(self) -> None:
        """Remove a saved profile."""
        one = self._one
        if one is None or one.kind != "profile" or one.settings is None:
            self.tell("Only a saved profile can be removed.")
            return
        body = f"What is known about it goes, also a saved password.\n{one.where} is not touched."
        if await self.ask(Confirm(f"Remove the profile {one.name}?", body, yes="Remove")):
            self._remove_profile(one.name)

    @core_call("removing the profile")
    def _remove_profile(self, name: str) -> Message | None:
        from tui.core import profiles

        left = profiles.remove(name)
        return Told(f"Removed {name}. {left}" if left else f"Removed {name}", go_to="embedded")

    @on(Told)
    def _tell_done(self, message: Told) -> None:
        if message.copy is not None:
            self.app.copy_to_clipboard(message.copy)
        self.notify(plain(message.text), markup=False)
        if message.go_to is None:
            return
        if message.saved is not None:
            self._edits.pop(message.saved[0], None)
            self._edits[message.go_to] = message.saved[1]
        self._go_to = message.go_to
        self._load_connections()

    def action_refresh_data(self) -> None:
        """Read files and environment again, and try an engine that failed once more."""
        self._load_connections()
        super().action_refresh_data()
