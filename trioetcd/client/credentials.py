"""A user's token, asked for once by all who need it, and again when the server forgets it.

Source: etcd client/v3/client.go (getToken), retry_interceptor.go (shouldRefreshToken).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from wire.errors import AuthNotEnabled, AuthOldRevision, InvalidAuthToken
from wire.http2.headers import Headers
from wire.pb import etcdserverpb

AUTHENTICATE = "/etcdserverpb.Auth/Authenticate"
STALE = (InvalidAuthToken, AuthOldRevision)  # errors after which a new token may help

Call = Callable[[str, bytes, Headers], Awaitable[bytes]]


class GivenToken:
    """A token that was made elsewhere, as a JWT may be: there is none to put in its place."""

    def __init__(self, token: str) -> None:
        self._metadata: Headers = ((b"token", token.encode()),)

    async def metadata(self, call: Call) -> Headers:
        return self._metadata

    async def renew(self, call: Call, stale: Headers | None) -> Headers:
        return self._metadata


class Credentials:
    """`password` may be a function: it is asked whenever a token is needed."""

    def __init__(self, user: str, password: str | Callable[[], str]) -> None:
        self._user = user
        self._password = password
        self._lock = trio.Lock()
        self._metadata: Headers | None = None  # None: not asked for yet

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
        async with self._lock:
            if self._metadata is None or self._metadata == stale:
                self._metadata = await self._authenticate(call)
            return self._metadata

    async def _authenticate(self, call: Call) -> Headers:
        password = self._password if isinstance(self._password, str) else self._password()
        request = etcdserverpb.AuthenticateRequest(name=self._user, password=password)
        try:
            answer = await call(AUTHENTICATE, request.SerializeToString(), ())
        except AuthNotEnabled:
            return ()
        token = etcdserverpb.AuthenticateResponse.FromString(answer).token
        return ((b"token", token.encode()),)
