"""Why raft may not do what it is asked to do.  All are refusals; none changed anything."""

from __future__ import annotations


class RaftRefusal(Exception):
    """The request was not taken on; whether to try again is the caller's to decide."""


class NoLeader(RaftRefusal):
    """No leader is known.  Try again when `Ready.soft` names one."""


class ProposalDropped(RaftRefusal):
    """The leader takes no proposals now: a transfer is under way, or it is no longer a member."""


class TooManyUncommitted(ProposalDropped):
    """The uncommitted tail of the log would grow past `Config.max_uncommitted_bytes`."""


class TooManyReads(RaftRefusal):
    """`Config.max_waiting_reads` reads are waiting to be confirmed."""


class ConfChangeRefused(RaftRefusal):
    """The configuration cannot, or cannot yet, change like this."""


class TransferRefused(RaftRefusal):
    """The leadership cannot go there: not a voter, or no leader is known."""
