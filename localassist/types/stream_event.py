"""The events of a run, as its stream yields them: a name and the object as it then was."""

from __future__ import annotations

from typing import Literal

from localassist.types._base import Model
from localassist.types.message import Message, MessageDeltaObject
from localassist.types.run import Run
from localassist.types.run_step import RunStep, RunStepDeltaObject
from localassist.types.thread import Thread


class ThreadEvent(Model):
    """The thread that `create_and_run` made."""

    data: Thread
    event: Literal["thread.created"] = "thread.created"


class RunEvent(Model):
    """A run changed its status."""

    data: Run
    event: Literal[
        "thread.run.created",
        "thread.run.queued",
        "thread.run.in_progress",
        "thread.run.requires_action",
        "thread.run.completed",
        "thread.run.incomplete",
        "thread.run.failed",
        "thread.run.cancelling",
        "thread.run.cancelled",
        "thread.run.expired",
    ]


class RunStepEvent(Model):
    """A step began or ended."""

    data: RunStep
    event: Literal[
        "thread.run.step.created",
        "thread.run.step.in_progress",
        "thread.run.step.completed",
        "thread.run.step.failed",
        "thread.run.step.cancelled",
        "thread.run.step.expired",
    ]


class RunStepDeltaEvent(Model):
    """A step grew."""

    data: RunStepDeltaObject
    event: Literal["thread.run.step.delta"] = "thread.run.step.delta"


class MessageEvent(Model):
    """A message began or ended."""

    data: Message
    event: Literal[
        "thread.message.created",
        "thread.message.in_progress",
        "thread.message.completed",
        "thread.message.incomplete",
    ]


class MessageDeltaEvent(Model):
    """A message grew."""

    data: MessageDeltaObject
    event: Literal["thread.message.delta"] = "thread.message.delta"


AssistantStreamEvent = (
    ThreadEvent | RunEvent | RunStepEvent | RunStepDeltaEvent | MessageEvent | MessageDeltaEvent
)
