"""Random users, roles and permissions, and calls of random people, on all servers alike.

Apart from the other traffic, since with authentication on every call is somebody's.  Who may
what is compared, and the words in which he is told, over gRPC and over the gateway; all else has
been compared before.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from random import Random

from google.protobuf.message import Message

from tests.interop.differential.asked import LEASES, PASSWORDS, TTL, Requests
from tests.interop.differential.clients import Answer, Client
from tests.interop.differential.compare import Report
from tests.interop.differential.gateway import PATHS, Gateway, Page, in_json
from tests.interop.differential.history import History
from tests.interop.differential.judge import Judge
from tests.interop.differential.permitted import KEYS, Rights, rights_of, wants
from tests.interop.differential.rules import BACKPORTED, OURS, OVERLOOKED, REFERENCE, WATCH_REFUSED
from tests.interop.differential.traffic import RESPONSES, Call, show
from tests.interop.differential.world import World
from wire.pb import authpb
from wire.pb import etcdserverpb as pb

NOBODY, LIAR = "nobody", "liar"
SHUFFLE = 0.04  # of all calls: everybody logs in anew
IN_JSON = 0.3
STREAMS = {"Watch/Watch", "Lease/LeaseKeepAlive"}
UNLOOKED = {  # methods that 3.5.1 answers whoever asks
    *("Lease/LeaseTimeToLive", "Lease/LeaseKeepAlive", "Lease/LeaseLeases", "Lease/LeaseGrant"),
    "Lease/LeaseRevoke",
}
NAMELESS = Answer("INVALID_ARGUMENT", "etcdserver: user name is empty")
UNKNOWN = Answer("UNAUTHENTICATED", "etcdserver: invalid auth token")
DENIED = Answer("PERMISSION_DENIED", "etcdserver: permission denied")
DENIED_WATCH = "rpc error: code = PermissionDenied desc = etcdserver: permission denied"
FREE_CALLS = 20  # while authentication is off


class People:
    """Invariant: `tokens` of a caller are of one login, one a server; passwords are known."""

    def __init__(self, addresses: dict[str, str], seed: int) -> None:
        self.report = Report(seed)
        self.refusals: Counter[str] = Counter()
        self._rng = Random(seed)
        self._requests = Requests(self._rng)
        self._clients = {kind: Client(address) for kind, address in addresses.items()}
        self._gateways = {kind: Gateway(address) for kind, address in addresses.items()}
        self._judge = Judge(World(), History(), self.report.follows_newer)
        self._passwords = {"root": PASSWORDS[0]}
        self._tokens: dict[str, dict[str, str]] = {
            NOBODY: dict.fromkeys(addresses, ""),
            LIAR: dict.fromkeys(addresses, "abcdefghijklmnop.1"),
        }

    def close(self) -> None:
        for client in (*self._clients.values(), *self._gateways.values()):
            client.close()

    def run(self, calls: int) -> Report:
        began = time.monotonic()
        self._begin()
        while self.report.calls < calls:
            if self._rng.random() < SHUFFLE:
                self._log_in_all()
            who = self._caller()
            if self._is_admin(who):
                self._administer(who, *self._requests.administration())
            else:
                self._work(who, *self._requests.work())
        self.report.by_code = self.refusals
        self.report.seconds = time.monotonic() - began
        return self.report

    def _begin(self) -> None:
        self.call(NOBODY, "Auth/UserAdd", pb.AuthUserAddRequest(name="root", password="one"))
        self.call(
            NOBODY, "Auth/UserGrantRole", pb.AuthUserGrantRoleRequest(user="root", role="root")
        )
        for lease in LEASES:
            self.call(NOBODY, "Lease/LeaseGrant", pb.LeaseGrantRequest(ID=lease, TTL=TTL))
        for key in KEYS:
            put = pb.PutRequest(key=key, lease=self._rng.choice((0, *LEASES)))
            self.call(NOBODY, "KV/Put", put)
        self._enable()

    # -- One call to all

    def call(self, who: str, name: str, request: Message) -> dict[str, Answer]:
        self.report.calls += 1
        if self._rng.random() < IN_JSON:
            shown, answers = self._over_http(who, name, request, list(self._clients))
        else:
            shown, answers = self._over_grpc(who, name, request, list(self._clients))
        call = Call(f"etcdserverpb.{name}", request.SerializeToString())
        reference = answers[REFERENCE]
        self.refusals[f"{reference.code} {reference.text}"] += 1
        if refusal_of(name, reference) and name == "Watch/Watch":
            self.report.follows_newer(WATCH_REFUSED)
            reference = answers[BACKPORTED]
        if name != "Auth/Authenticate" and not self._judge.same(call, answers[OURS], reference):
            self.report.mismatch(f"{who}: {shown} {{ {show(request)} }}", dict(answers))
        for kind, answer in answers.items():
            if kind != OURS and (answer.code, answer.text) != (reference.code, reference.text):
                self.report.go_differs(f"{name}: {answer.code} {answer.text}"[:100])
        return answers

    def _over_grpc(
        self, who: str, name: str, request: Message, kinds: list[str]
    ) -> tuple[str, dict[str, Answer]]:
        method = f"etcdserverpb.{name}"
        self.report.by_method[method] += 1
        data, tokens = request.SerializeToString(), self._tokens[who]
        if name in STREAMS:
            return method, {
                kind: self._clients[kind].first_answer(method, data, tokens[kind]) for kind in kinds
            }
        begun = {kind: self._clients[kind].begin(method, data, tokens[kind]) for kind in kinds}
        return method, {kind: Client.finish(future) for kind, future in begun.items()}

    def _over_http(
        self, who: str, name: str, request: Message, kinds: list[str]
    ) -> tuple[str, dict[str, Answer]]:
        method = f"etcdserverpb.{name}"
        self.report.by_method[f"{method} in JSON"] += 1
        path, text = self._rng.choice(PATHS[method]), in_json(request, self._rng)
        pages: dict[str, Page] = {}
        for kind in kinds:
            token = self._tokens[who][kind]
            if name in STREAMS:
                pages[kind] = self._gateways[kind].first_line(path, text, token)
            else:
                self._gateways[kind].begin(path, text, token)
                pages[kind] = self._gateways[kind].finish()
        if OURS in pages and REFERENCE in pages and name != "Auth/Authenticate":
            self._compare_pages(f"{who}: {path} {text}", name, pages)
        return path, {kind: page.answer(RESPONSES[method]) for kind, page in pages.items()}

    def _compare_pages(self, what: str, name: str, pages: Mapping[str, Page]) -> None:
        """What `call` does not see of them: the status and the fields' names."""
        ours, theirs = pages[OURS], pages[REFERENCE]
        kind = RESPONSES[f"etcdserverpb.{name}"]
        if ours.answer(kind) == theirs.answer(kind) and (
            (ours.status, ours.document) != (theirs.status, theirs.document)
        ):
            self.report.mismatch(what, dict(pages))

    # -- What is asked

    def _work(self, who: str, name: str, request: Message) -> None:
        if name in UNLOOKED:
            if who == NOBODY:
                return
            if self._is_unknown(who):
                self._ask_ours_alone(who, name, request, UNKNOWN)
                return
        is_looked_at = who == NOBODY and not isinstance(request, pb.TxnRequest)
        if not is_looked_at and self._newer_refuses(who, request):
            self._ask_ours_alone(who, name, request, NAMELESS if who == NOBODY else DENIED)
        else:
            self.call(who, name, request)

    def _is_unknown(self, who: str) -> bool:
        """His token is not one, or not any more, as the reference says where it looks."""
        token, probe = self._tokens[who][REFERENCE], pb.RangeRequest(key=KEYS[0])
        asked = self._clients[REFERENCE].begin(
            "etcdserverpb.KV/Range", probe.SerializeToString(), token
        )
        return Client.finish(asked) == UNKNOWN

    def _ask_ours_alone(self, who: str, name: str, request: Message, expected: Answer) -> None:
        over = self._over_http if self._rng.random() < IN_JSON else self._over_grpc
        shown, answers = over(who, name, request, [OURS])
        refusal = refusal_of(name, answers[OURS])
        if refusal == expected:
            self.report.calls += 1
            self.report.follows_newer(OVERLOOKED)
        else:  # refused for another reason, which all must give
            assert refusal is not None, f"{who} may {shown} {{ {show(request)} }}"
            self.call(who, name, request)

    def _newer_refuses(self, who: str, request: Message) -> bool:
        """And 3.5.1 might not."""
        rights = self._rights(who)
        return rights is not None and not rights.cover(wants(request, self._attached()))

    def _rights(self, who: str) -> Rights | None:
        """As the reference tells root; None of somebody who is not a user, or whom it refuses."""
        if who == LIAR:
            return None
        if who == NOBODY:
            return rights_of({})
        answer = self._root_asks("Auth/UserGet", pb.AuthUserGetRequest(name=who))
        if answer is None:
            return None
        roles: dict[str, list[authpb.Permission]] = {}
        for role in pb.AuthUserGetResponse.FromString(answer).roles:
            found = self._root_asks("Auth/RoleGet", pb.AuthRoleGetRequest(role=role))
            roles[role] = list(pb.AuthRoleGetResponse.FromString(found).perm) if found else []
        return rights_of(roles)

    def _attached(self) -> dict[int, list[bytes]]:
        found = {}
        for lease in LEASES:
            request = pb.LeaseTimeToLiveRequest(ID=lease, keys=True)
            answer = self._root_asks("Lease/LeaseTimeToLive", request)
            if answer is not None:
                found[lease] = list(pb.LeaseTimeToLiveResponse.FromString(answer).keys)
        return found

    def _root_asks(self, name: str, request: Message) -> bytes | None:
        client, token = self._clients[REFERENCE], self._tokens["root"][REFERENCE]
        answer = Client.finish(
            client.begin(f"etcdserverpb.{name}", request.SerializeToString(), token)
        )
        return answer.body if answer.code == "OK" else None

    # -- Users and roles

    def _administer(self, who: str, name: str, request: Message) -> None:
        """The state that the calls change may only be root's to change, and is so on all."""
        done = self.call(who, name, request)[REFERENCE].code == "OK"
        match request:
            case pb.AuthUserAddRequest():
                self._passwords.setdefault(request.name, PASSWORDS[0])
            case pb.AuthUserChangePasswordRequest() if done:
                self._passwords[request.name] = request.password
            case pb.AuthDisableRequest() if done:
                self._without_authentication()

    def _without_authentication(self) -> None:
        for _ in range(FREE_CALLS):
            self.call(NOBODY, *self._requests.work())  # older ones still look at tokens
        self._log_in("root", PASSWORDS[0])
        self._enable()

    def _enable(self) -> None:
        self.call(NOBODY, "Auth/AuthEnable", pb.AuthEnableRequest())
        self._log_in_all()

    def _log_in_all(self) -> None:
        for name in self._passwords:
            self._log_in(name, self._passwords[name])
        name = self._rng.choice(list(self._passwords))
        self._log_in(name, self._rng.choice((*PASSWORDS, "wrong")))

    def _log_in(self, name: str, password: str) -> None:
        request = pb.AuthenticateRequest(name=name, password=password)
        answers = self.call(NOBODY, "Auth/Authenticate", request)
        if len({(each.code, each.text) for each in answers.values()}) > 1:
            self.report.mismatch(f"{name} logs in", dict(answers))
        if answers[REFERENCE].code == "OK" and answers[OURS].code == "OK":
            self._tokens[name] = {
                kind: pb.AuthenticateResponse.FromString(each.body).token
                for kind, each in answers.items()
            }

    def _caller(self) -> str:
        known = [name for name in self._tokens if name not in (NOBODY, LIAR)]
        kind = self._rng.random()
        if kind < 0.03:
            return NOBODY
        if kind < 0.06:
            return LIAR
        return "root" if kind < 0.3 else self._rng.choice(known)

    def _is_admin(self, who: str) -> bool:
        return self._rng.random() < (0.7 if who == "root" else 0.1)


def refusal_of(name: str, answer: Answer) -> Answer | None:
    """None: it was done.  Of a watch it is told that it was created, and that it was canceled."""
    if answer.code != "OK":
        return answer
    if name == "Watch/Watch":
        told = pb.WatchResponse.FromString(answer.body)
        if told.canceled:
            return DENIED if told.cancel_reason == DENIED_WATCH else Answer("", told.cancel_reason)
    return None
