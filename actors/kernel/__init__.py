"""What actors run on: inboxes, replies, supervisors, the worker seam and the live tree."""

from actors.kernel.mailbox import Call, Inbox, Notice
from actors.kernel.reply import ActorStopped, Reply
from actors.kernel.supervisor import Child, ChildEnded, Restart, Strategy, Supervisor, describe
from actors.kernel.tree import Node, State
from actors.kernel.worker import DedicatedThread, InlineWorker, ThreadWorker, Worker

__all__ = [
    "ActorStopped",
    "Call",
    "Child",
    "ChildEnded",
    "DedicatedThread",
    "Inbox",
    "InlineWorker",
    "Node",
    "Notice",
    "Reply",
    "Restart",
    "State",
    "Strategy",
    "Supervisor",
    "ThreadWorker",
    "Worker",
    "describe",
]
