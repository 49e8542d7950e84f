"""Every error a client of etcd can see, once: gRPC status and exact words.

Clients compare the words as well as the code, so both are contract.  Cores raise these, the
API layer only reads them, and the client turns a status back into one (`from_status`).
Anything that is not an `EtcdError` is a defect of ours, never an answer.

Source: etcd api/v3rpc/rpctypes/error.go; the words as seen from 3.4.23, 3.5.1 and main.
"""

from __future__ import annotations

from typing import ClassVar

from wire.status import Status


class EtcdError(Exception):
    """A refusal: the caller's answer, not a crash.

    Subclasses fix `status` and `text`; `Refused` carries them for words made at run time.
    """

    status: ClassVar[Status] = Status.UNKNOWN
    text: ClassVar[str] = ""

    def __str__(self) -> str:
        return self.text


class Refused(EtcdError):
    """An error whose words depend on the request, or that a newer server made up.

    Shadows `status` and `text` per instance.
    """

    def __init__(self, status: Status, text: str) -> None:
        super().__init__(status, text)
        self.status = status  # type: ignore[misc]
        self.text = text  # type: ignore[misc]


# KV


class KeyNotProvided(EtcdError):
    status, text = Status.INVALID_ARGUMENT, "etcdserver: key is not provided"


class KeyNotFound(EtcdError):
    status, text = Status.INVALID_ARGUMENT, "etcdserver: key not found"


class ValueProvided(EtcdError):
    status, text = Status.INVALID_ARGUMENT, "etcdserver: value is provided"


class LeaseProvided(EtcdError):
    status, text = Status.INVALID_ARGUMENT, "etcdserver: lease is provided"


class TooManyOperations(EtcdError):
    status, text = Status.INVALID_ARGUMENT, "etcdserver: too many operations in txn request"


class DuplicateKey(EtcdError):
    status, text = Status.INVALID_ARGUMENT, "etcdserver: duplicate key given in txn request"


class InvalidSortOption(EtcdError):
    status, text = Status.INVALID_ARGUMENT, "etcdserver: invalid sort option"


class RequestTooLarge(EtcdError):
    status, text = Status.INVALID_ARGUMENT, "etcdserver: request is too large"


class Compacted(EtcdError):
    status, text = Status.OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted"


class FutureRevision(EtcdError):
    status, text = Status.OUT_OF_RANGE, "etcdserver: mvcc: required revision is a future revision"


class NoSpace(EtcdError):
    status, text = Status.RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded"


class Corrupt(EtcdError):
    status, text = Status.DATA_LOSS, "etcdserver: corrupt cluster"


class TooManyRequests(EtcdError):
    status, text = Status.UNKNOWN, "etcdserver: too many requests"


class RangeStreamSorted(EtcdError):
    status, text = Status.UNIMPLEMENTED, "RangeStream does not support custom sort orders"


class RangeStreamFiltered(EtcdError):
    status, text = Status.UNIMPLEMENTED, "RangeStream does not support revision filters"


# Lease


class LeaseNotFound(EtcdError):
    status, text = Status.NOT_FOUND, "etcdserver: requested lease not found"


class LeaseExists(EtcdError):
    status, text = Status.FAILED_PRECONDITION, "etcdserver: lease already exists"


class LeaseTTLTooLarge(EtcdError):
    status, text = Status.OUT_OF_RANGE, "etcdserver: too large lease TTL"


class NotPrimaryLessor(EtcdError):
    status, text = Status.UNKNOWN, "not a primary lessor"


# Watch


class WatchCanceled(EtcdError):
    status, text = Status.CANCELLED, "etcdserver: watch canceled"


# Consensus, timeouts, server state


class NoLeader(EtcdError):
    status, text = Status.UNAVAILABLE, "etcdserver: no leader"


class LeaderChanged(EtcdError):
    status, text = Status.UNAVAILABLE, "etcdserver: leader changed"


class RequestTimeout(EtcdError):
    status, text = Status.UNAVAILABLE, "etcdserver: request timed out"


class TimeoutLeaderFailure(EtcdError):
    status = Status.UNAVAILABLE
    text = "etcdserver: request timed out, possibly due to previous leader failure"


class TimeoutConnectionLost(EtcdError):
    status = Status.UNAVAILABLE
    text = "etcdserver: request timed out, possibly due to connection lost"


class TimeoutWaitAppliedIndex(EtcdError):
    status = Status.UNAVAILABLE
    text = "etcdserver: request timed out, waiting for the applied index took too long"


class TimeoutLeaderTransfer(EtcdError):
    status, text = Status.UNKNOWN, "etcdserver: request timed out, leader transfer took too long"


class NotLeader(EtcdError):
    status, text = Status.FAILED_PRECONDITION, "etcdserver: not leader"


class BadLeaderTransferee(EtcdError):
    status, text = Status.FAILED_PRECONDITION, "etcdserver: bad leader transferee"


class Stopped(EtcdError):
    status, text = Status.UNAVAILABLE, "etcdserver: server stopped"


class NotCapable(EtcdError):
    status, text = Status.FAILED_PRECONDITION, "etcdserver: not capable"


class UnhealthyCluster(EtcdError):
    status, text = Status.UNAVAILABLE, "etcdserver: unhealthy cluster"


class NotSupportedForLearner(EtcdError):
    status, text = Status.FAILED_PRECONDITION, "etcdserver: rpc not supported for learner"


class ClusterIDMismatch(EtcdError):
    status, text = Status.FAILED_PRECONDITION, "etcdserver: cluster ID mismatch"


class InvalidClientAPIVersion(EtcdError):
    status, text = Status.INVALID_ARGUMENT, "etcdserver: invalid client api version"


class UnknownMethod(EtcdError):
    status, text = Status.UNKNOWN, "etcdserver: unknown method"


class DeadlineExceeded(EtcdError):
    status, text = Status.DEADLINE_EXCEEDED, "context deadline exceeded"


class Canceled(EtcdError):
    status, text = Status.CANCELLED, "context canceled"


# Auth


class RootUserNotExist(EtcdError):
    status, text = Status.FAILED_PRECONDITION, "etcdserver: root user does not exist"


class RootRoleNotGranted(EtcdError):
    status, text = Status.FAILED_PRECONDITION, "etcdserver: root user does not have root role"


class UserAlreadyExists(EtcdError):
    status, text = Status.FAILED_PRECONDITION, "etcdserver: user name already exists"


class UserEmpty(EtcdError):
    status, text = Status.INVALID_ARGUMENT, "etcdserver: user name is empty"


class UserNotFound(EtcdError):
    status, text = Status.FAILED_PRECONDITION, "etcdserver: user name not found"


class RoleAlreadyExists(EtcdError):
    status, text = Status.FAILED_PRECONDITION, "etcdserver: role name already exists"


class RoleNotFound(EtcdError):
    status, text = Status.FAILED_PRECONDITION, "etcdserver: role name not found"


class RoleEmpty(EtcdError):
    status, text = Status.INVALID_ARGUMENT, "etcdserver: role name is empty"


class AuthFailed(EtcdError):
    status = Status.INVALID_ARGUMENT
    text = "etcdserver: authentication failed, invalid user ID or password"


class NoPasswordUser(EtcdError):
    status = Status.UNKNOWN
    text = "auth: authentication failed, password was given for no password user"


class PermissionNotGiven(EtcdError):
    status, text = Status.INVALID_ARGUMENT, "etcdserver: permission not given"


class PermissionDenied(EtcdError):
    status, text = Status.PERMISSION_DENIED, "etcdserver: permission denied"


class RoleNotGranted(EtcdError):
    status, text = Status.FAILED_PRECONDITION, "etcdserver: role is not granted to the user"


class PermissionNotGranted(EtcdError):
    status, text = Status.FAILED_PRECONDITION, "etcdserver: permission is not granted to the role"


class AuthNotEnabled(EtcdError):
    status, text = Status.FAILED_PRECONDITION, "etcdserver: authentication is not enabled"


class InvalidAuthToken(EtcdError):
    status, text = Status.UNAUTHENTICATED, "etcdserver: invalid auth token"


class InvalidAuthManagement(EtcdError):
    status, text = Status.INVALID_ARGUMENT, "etcdserver: invalid auth management"


class AuthOldRevision(EtcdError):
    status, text = Status.INVALID_ARGUMENT, "etcdserver: revision of auth store is old"


# Membership


class MemberExists(EtcdError):
    status, text = Status.FAILED_PRECONDITION, "etcdserver: member ID already exist"


class PeerURLExists(EtcdError):
    status, text = Status.FAILED_PRECONDITION, "etcdserver: Peer URLs already exists"


class NotEnoughStartedMembers(EtcdError):
    status = Status.UNKNOWN
    text = "etcdserver: re-configuration failed due to not enough started members"


class InvalidMemberURLs(EtcdError):
    status, text = Status.INVALID_ARGUMENT, "etcdserver: given member URLs are invalid"


class MemberNotFound(EtcdError):
    status, text = Status.NOT_FOUND, "etcdserver: member not found"


class MemberNotLearner(EtcdError):
    status, text = Status.FAILED_PRECONDITION, "etcdserver: can only promote a learner member"


class LearnerNotReady(EtcdError):
    status = Status.FAILED_PRECONDITION
    text = "etcdserver: can only promote a learner member which is in sync with leader"


class TooManyLearners(EtcdError):
    status, text = Status.FAILED_PRECONDITION, "etcdserver: too many learner members in cluster"


# Downgrade


class WrongDowngradeVersionFormat(EtcdError):
    status, text = Status.INVALID_ARGUMENT, "etcdserver: wrong downgrade target version format"


class InvalidDowngradeTarget(EtcdError):
    status, text = Status.INVALID_ARGUMENT, "etcdserver: invalid downgrade target version"


class ClusterVersionUnavailable(EtcdError):
    status = Status.FAILED_PRECONDITION
    text = "etcdserver: cluster version not found during downgrade"


class DowngradeInProcess(EtcdError):
    status, text = Status.FAILED_PRECONDITION, "etcdserver: cluster has a downgrade job in progress"


class NoInflightDowngrade(EtcdError):
    status, text = Status.FAILED_PRECONDITION, "etcdserver: no inflight downgrade job"


# Lock and election services


class ElectionNoLeader(EtcdError):
    status, text = Status.UNKNOWN, "election: no leader"


class ElectionNotLeader(EtcdError):
    status, text = Status.UNKNOWN, "election: not leader"


class LeaderFieldMissing(EtcdError):
    status, text = Status.UNKNOWN, '"leader" field must be provided'


class SessionExpired(EtcdError):
    status, text = Status.UNKNOWN, "mutex: session is expired"


# gRPC runtime


class UnknownHealthService(EtcdError):
    status, text = Status.NOT_FOUND, "unknown service"


BY_TEXT: dict[str, type[EtcdError]] = {
    error.text: error for error in EtcdError.__subclasses__() if error is not Refused
}


def from_status(status: Status, text: str) -> EtcdError:
    """The error a server meant: looked up by its words, since codes moved between releases."""
    known = BY_TEXT.get(text)
    return known() if known is not None else Refused(status, text)
