"""Build: a form with every option, a plan of what it amounts to, and the start of a job."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual import events, on, work
from textual.app import ComposeResult
from textual.containers import Container, VerticalScroll
from textual.message import Message
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Static

from tui import keys
from tui.core.errors import KitescopeError
from tui.core.indexes import BuildSpec
from tui.core.scope import Scope
from tui.core.words import counted
from tui.messages import Answer, BuildRequested, Happened, RefreshRequested
from tui.screens.base import BaseScreen, core_call
from tui.screens.model_picker import ModelPicker
from tui.state import AppState, ScopeChosen
from tui.widgets.build_form import BuildForm
from tui.widgets.build_plan import Outlook, measured, plan_facts, plan_line, plan_page, room_at
from tui.widgets.dialogs import Confirm, Page
from tui.widgets.form import Form
from tui.widgets.text import plain

if TYPE_CHECKING:
    from tui.core.datasets import DatasetDetail

_DEBOUNCE_S = 0.3
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Planned:
    """What core said to a specification: an outlook, or why it cannot be built.

    ``grounds`` is what was known when it was asked: where that is another by now, so may be the answer.
    """

    spec: BuildSpec
    grounds: object
    outlook: Outlook | None
    error: KitescopeError | None = None


class PlanKnown(Answer):
    """Core answered."""

    def __init__(self, planned: Planned) -> None:
        self.planned = planned
        super().__init__()


class DetailKnown(Answer):
    """What the chosen dataset has."""

    def __init__(self, name: str, detail: DatasetDetail | None) -> None:
        self.name = name
        self.detail = detail
        super().__init__()


class BuildScreen(BaseScreen):
    """The form, and beside or below it the plan."""

    MODE = "build"
    MAIN = "#build-form"
    BINDINGS = [*keys.BUILD]
    TITLE: ClassVar[str] = "Build"

    def __init__(self) -> None:
        super().__init__()
        self._planned: Planned | None = None
        self._detail: DatasetDetail | None = None
        self._reading: str | None = None
        self._soon: Timer | None = None
        self._start_soon = False
        self._last: Widget | None = None

    def body(self) -> ComposeResult:
        """Form and plan."""
        with Container(id="build-panes"):
            yield BuildForm(self.kitescope.settings, id="build-form")
            with VerticalScroll(id="build-plan", classes="pane", can_focus=False):
                yield Static(id="plan-text", markup=False)
                yield Static(id="plan-verdict", markup=False)

    def on_mount(self) -> None:
        """Show the fields that have a use."""
        self._form.show_used()

    @property
    def _form(self) -> BuildForm:
        return self.query_one(BuildForm)

    # The state flows into the form

    def watch_state(self, old: AppState, new: AppState) -> None:
        """Offer what there is now, and plan again when an answer may be another."""
        if not self.is_mounted:
            return
        if (old.datasets, old.scope) != (new.datasets, new.scope):
            self._form.offer_datasets([info.name for info in new.datasets or ()], new.dataset)
        if old.scope != new.scope:
            self._take_scope(new.scope)
        if old.milvus != new.milvus and new.milvus.status == "ready":
            self._form.offer_index_types(lite="milvus_lite" in new.milvus.detail)
        watched = (old.datasets, old.runs, old.scope, old.milvus, old.database, self._busy_keys(old))
        if watched != (new.datasets, new.runs, new.scope, new.milvus, new.database, self._busy_keys(new)):
            self._replan()

    def _take_scope(self, scope: Scope | None) -> None:
        name = scope.dataset if scope else None
        if name != (self._detail.info.name if self._detail else None):
            self._detail = None
            self._form.offer(None)
        self._form.put_scope(scope)
        if name is not None and self._detail is None:
            self._reading = name
            self._load_detail(name)

    @core_call("looking into the dataset", bound=True)
    def _load_detail(self, name: str) -> Message | None:
        from tui.core.datasets import dataset_detail

        return DetailKnown(name, dataset_detail(self.kitescope.workspace, name))

    @on(DetailKnown)
    def _take_detail(self, message: DetailKnown) -> None:
        if message.name == self.state.dataset and not message.is_late(self.kitescope.workspace):
            self._detail = message.detail
            # What was typed meanwhile stays.
            self._form.offer(message.detail)
            self._form.show_used()
            self._replan()

    # The form flows into the plan

    @on(Form.Changed)
    def _edited(self, event: Form.Changed) -> None:
        self._start_soon = False
        self._form.changed(event.key)
        if event.key == "dataset" and event.value:
            self.post_message(Happened(ScopeChosen(Scope(event.value))))
        self._replan()

    def _replan(self) -> None:
        """Ask core for a plan, once nothing changed for a moment."""
        self._form.suggest_key(self._taken() | self._busy_keys(self.state))
        if self._soon is not None:
            self._soon.stop()
        self._soon = self.set_timer(_DEBOUNCE_S, self._ask_plan)
        self._show_plan()

    def _ask_plan(self) -> None:
        spec = self._spec()
        if spec is None or self._local_reason():
            self._show_plan()
        elif not self._fresh() or (self._planned is not None and self._planned.error is not None):
            self._load_plan(spec, self._grounds())
        elif self._start_soon:
            self.action_start()

    @core_call("planning", bound=True)
    def _load_plan(self, spec: BuildSpec, grounds: object) -> Message | None:
        from tui.core.embedded import own_server
        from tui.core.indexes import plan

        workspace = self.kitescope.workspace
        try:
            found = plan(workspace, spec)
        except KitescopeError as error:
            return PlanKnown(Planned(spec, grounds, None, error))
        server = own_server(workspace.settings)
        room = room_at(server.data) if server is not None else None
        rate = measured(spec.source, spec.device, self.state.jobs or ())
        return PlanKnown(Planned(spec, grounds, Outlook(found, spec.scope.dataset, room, rate)))

    @on(PlanKnown)
    def _take_plan(self, message: PlanKnown) -> None:
        if message.is_late(self.kitescope.workspace):
            return
        self._planned = message.planned
        self._form.text("collection").placeholder(
            message.planned.outlook.plan.collection
            if message.planned.outlook
            else "named after dataset and key"
        )
        self._show_plan()
        if self._start_soon:
            self.action_start()

    def _spec(self) -> BuildSpec | None:
        return None if self._form.wrong() else self._form.spec()

    def _taken(self) -> set[str]:
        name = self._form["dataset"].value
        return {run.brain_key for run in self.state.runs or () if run.dataset == name}

    def _busy_keys(self, state: AppState) -> set[str]:
        name = self._form["dataset"].value
        return {job.brain_key for job in state.jobs or () if job.dataset == name and not job.ended}

    # Why a build cannot start

    def _local_reason(self) -> str:
        """Why not, as far as nobody needs to be asked; empty when nothing is known against it."""
        if self.state.datasets is not None and not self.state.datasets:
            return "There is no dataset yet: import one on Datasets (2)."
        for name, wrong in self._form.wrong().items():
            return f"{self._form[name].label}: {wrong}."
        if self.state.readonly:
            return "This connection is read-only, so nothing can be built."
        for engine in (self.state.database, self.state.milvus):
            if engine.status == "failed":
                return f"{engine.detail}. {engine.remedy}."
        key, dataset = self._form["key"].value, self._form["dataset"].value
        if key in self._busy_keys(self.state):
            return f"A job works on {dataset} / {key} now (4)."
        if key in self._taken() and self._form["overwrite"].value != "yes":
            return (
                f"{dataset} has a run {key} already: take another key, say yes to Overwrite to replace it, "
                "or sync it on Runs (5) to bring it up to date."
            )
        return ""

    def _reason(self) -> str:
        """Why not; empty when the plan for exactly this is there and well."""
        if reason := self._local_reason():
            return reason
        if not self._fresh():
            waits = "connecting" in (self.state.milvus.status, self.state.database.status)
            return "Waiting for the engines…" if waits else "Planning…"
        error = self._planned.error if self._planned else None
        return str(error) if error else ""

    def _fresh(self) -> bool:
        planned = self._planned
        return planned is not None and planned.spec == self._spec() and planned.grounds == self._grounds()

    def _grounds(self) -> object:
        """What a plan depends on besides the form; the health of runs is not among it."""
        state, name = self.state, self._form["dataset"].value
        info = next((info for info in state.datasets or () if info.name == name), None)
        runs = tuple((run.dataset, run.brain_key, run.collection) for run in state.runs or ())
        return self.kitescope.workspace, info, runs, state.milvus, state.database

    # What is shown

    def on_resize(self, event: events.Resize) -> None:
        """Little room gets a short plan."""
        self._show_plan()

    def _show_plan(self) -> None:
        if not self.is_mounted:
            return
        outlook = self._planned.outlook if self._planned else None
        reason = self._reason()
        fresh = self._fresh() and not self._local_reason()
        text = self.query_one("#plan-text", Static)
        narrow = self.size.width < 100
        if outlook is not None:
            text.update(plan_line(outlook) if narrow else plan_facts(outlook))
        text.set_class(not fresh, "stale")
        text.display = outlook is not None and (fresh or not narrow)
        verdict = self.query_one("#plan-verdict", Static)
        waits = reason.endswith("…")
        verdict.update(plain(reason) if reason else "f5 starts the build")
        verdict.set_class(bool(reason) and not waits, "warning")
        verdict.set_class(not reason, "good")

    # Keys

    def focus_main(self) -> None:
        """Back to the field one was in, or the first."""
        if self._last is not None and self._last.is_attached and self._last.display:
            self._last.focus()
        else:
            self._form.focus()

    def go_back(self) -> bool:
        """Out of a line of text first, so that single keys mean something again."""
        field = self._form.current
        if field is not None and self.focused is not None:
            typing = self.focused.check_consume_key("1", "1")
            self._last = self.focused
            if typing:
                self.set_focus(None)
                return True
        return False

    def table(self) -> None:
        """There is none."""

    def copy_text(self) -> str | None:
        """What ``y`` copies: the collection's name."""
        outlook = self._planned.outlook if self._planned else None
        return outlook.plan.collection if outlook else None

    def action_edit(self) -> None:
        """Into the form."""
        self.focus_main()

    def action_refresh_data(self) -> None:
        """Read everything again, and plan again."""
        self._planned = None
        self.post_message(RefreshRequested("all"))
        if self.state.dataset is not None:
            self._load_detail(self.state.dataset)
        self._replan()

    def action_defaults(self) -> None:
        """Put every field back."""
        self._form.put_defaults()
        self._replan()
        self.notify("Every field is back at its default.", timeout=3)

    def action_plan(self) -> None:
        """The plan in full."""
        outlook = self._planned.outlook if self._planned else None
        reason = self._reason()
        body = plan_page(outlook) if outlook else ""
        self.app.push_screen(Page("Plan", "\n".join(filter(None, (body, reason or "f5 starts the build.")))))

    @work
    async def action_models(self) -> None:
        """Choose a model from everything that is known."""
        name = await self.ask(ModelPicker(self._form["model"].value))
        if name is not None:
            self._form.take_model(name)
            self._replan()

    @on(Form.Finished)
    def _finished(self) -> None:
        self.action_start()

    def action_start(self) -> None:
        """Start the job, as soon as the plan for exactly this form is there."""
        self._start_soon = False
        if not self._form.check():
            self._show_plan()
            return
        reason = self._reason()
        if reason.endswith("…"):
            self._start_soon = True
            self.notify("Starting as soon as the plan is made.", timeout=2)
            if self._soon is None:
                self._replan()
        elif reason:
            self.tell(reason)
        elif (spec := self._spec()) is not None:
            self._begin(spec)

    @work(exclusive=True, group="start")
    async def _begin(self, spec: BuildSpec) -> None:
        run = next(
            (
                run
                for run in self.state.runs or ()
                if (run.dataset, run.brain_key) == (spec.scope.dataset, spec.brain_key)
            ),
            None,
        )
        if run is not None:
            count = counted(run.vectors, "vector") if run.vectors is not None else "vectors"
            goes = f" and drops {run.collection} with its {count}" if run.collection else ""
            body = f"When the new index is complete it replaces the run{goes}. Until then the old one serves."
            title = f"Replace {run.dataset} / {run.brain_key}?"
            if not await self.ask(Confirm(title, body, yes="Replace", typed=run.brain_key)):
                return
        what = f"replace the run {spec.brain_key}"
        confirmed = await self.confirm_protected(what) if spec.overwrite else ""
        if confirmed is None:
            return
        self._planned = None
        self._form["overwrite"].put("no")
        self.post_message(BuildRequested(spec, confirmed))
