"""A user's token, asked for once by all who need it, and again when the server forgets it.

Source: etcd client/v3/client.go (getToken), retry_interceptor.go (shouldRefreshToken).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from wire.errors import AuthNotEnabled, AuthOldRevision, EtcdError, InvalidAuthToken, UserEmpty
from wire.http2.headers import Headers
from wire.pb import etcdserverpb

AUTHENTICATE = "/etcdserverpb.Auth/Authenticate"
# Errors after which a new token may help; the last if authentication was off when it was asked for.
STALE = (InvalidAuthToken, AuthOldRevision, UserEmpty)

Call = Callable[[str, bytes, Headers], Awaitable[bytes]]


class GivenToken:
    """A token that was made elsewhere, as a JWT may be: there is none to put in its place."""

    def __init__(self, token: str) -> None:
        self._metadata: Headers = ((b"token", token.encode()),)

    async def metadata(self, call: Call) -> Headers:
        return self._metadata

    async def renew(self, call: Call, stale: Headers | None) -> Headers:
        return self._metadata


class _LogIn:
    """One that is under way, and all who wait for it."""

    def __init__(self) -> None:
        self.done = trio.Event()
        self.metadata: Headers | None = None
        self.error: EtcdError | None = None  # with neither, it was given up: somebody else must


class Credentials:
    """`password` may be a function: it is asked whenever a token is needed."""

    def __init__(self, user: str, password: str | Callable[[], str]) -> None:
        self._user = user
        self._password = password
        self._metadata: Headers | None = None  # None: not asked for yet
        self._under_way: _LogIn | None = None

    async def metadata(self, call: Call) -> Headers:
        """Header fields for a call."""
        if self._metadata is None:
            return await self.renew(call, None)
        return self._metadata

    async def renew(self, call: Call, stale: Headers | None) -> Headers:
        """A token in place of one that is no good any more; many may ask, one goes.

        Raises:
            AuthFailed: the password is wrong.
        """
        while self._metadata is None or self._metadata == stale:
            log_in = self._under_way
            if log_in is None:
                await self._log_in(call)
                break
            await log_in.done.wait()
            if log_in.error is not None:
                raise log_in.error
            if log_in.metadata is not None:
                return log_in.metadata
        assert self._metadata is not None
        return self._metadata

    async def _log_in(self, call: Call) -> None:
        log_in = self._under_way = _LogIn()
        try:
            self._metadata = log_in.metadata = await self._authenticate(call)
        except EtcdError as error:
            log_in.error = error
            raise
        finally:
            self._under_way = None
            log_in.done.set()

    async def _authenticate(self, call: Call) -> Headers:
        password = self._password if isinstance(self._password, str) else self._password()
        request = etcdserverpb.AuthenticateRequest(name=self._user, password=password)
        try:
            answer = await call(AUTHENTICATE, request.SerializeToString(), ())
        except AuthNotEnabled:
            return ()
        token = etcdserverpb.AuthenticateResponse.FromString(answer).token
        return ((b"token", token.encode()),)
