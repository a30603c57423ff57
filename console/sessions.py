"""Sessions of the pages: a signed cookie that says who has logged in, and until when.

The server keeps nothing. A cookie is good until it expires, or until the user's token or role
changes; logging out deletes it in the browser only.
"""

import hashlib
from datetime import timedelta
from typing import Final

from fastapi import Response
from itsdangerous import BadData, URLSafeSerializer

from console.users import User, Users, fingerprint
from deletion.clock import Clock

COOKIE: Final = "__Host-botdel"
"""The prefix makes browsers insist on Secure and Path=/, and on no Domain (RFC 6265bis)."""
SESSION: Final = timedelta(hours=12)
"""How long a log-in lasts. It is not prolonged by use."""
MOST_COOKIE_CHARACTERS: Final = 1024


class Sessions:
    """Issues session cookies for `users` and reads them, signed with `secret`.

    Without a secret the key is derived from the users, so that replicas with the same users accept
    each other's cookies.
    """

    def __init__(self, users: Users, clock: Clock, secret: str | None = None) -> None:
        self._users = users
        self._clock = clock
        self._key = hashlib.sha256(b"botdel console " + _source(users, secret)).digest()
        self._signer = URLSafeSerializer(
            self._key,
            salt="botdel-console-session",
            signer_kwargs={"key_derivation": "hmac", "digest_method": hashlib.sha256},
        )

    def start(self, user: User, response: Response) -> None:
        """Set the cookie of a new session of `user`."""
        response.set_cookie(
            COOKIE,
            self.cookie_of(user),
            max_age=int(SESSION.total_seconds()),
            path="/",
            secure=True,
            httponly=True,
            samesite="lax",
        )

    def cookie_of(self, user: User) -> str:
        """The value of the cookie of a session of `user` that begins now."""
        expires = self._clock.now() + SESSION
        content = [user.name, fingerprint(user, self._key), int(expires.timestamp())]
        return str(self._signer.dumps(content))

    @staticmethod
    def end(response: Response) -> None:
        """Delete the cookie in the browser."""
        response.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="lax")

    def user(self, cookie: str | None) -> User | None:
        """The user whose session `cookie` holds, or None if it is not valid or has expired."""
        if not cookie or len(cookie) > MOST_COOKIE_CHARACTERS:
            return None
        try:
            name, mark, expires = self._signer.loads(cookie)
        except (BadData, ValueError, TypeError):
            return None
        if self._clock.now().timestamp() >= expires:
            return None
        return self._users.with_fingerprint(name, mark, self._key)


def _source(users: Users, secret: str | None) -> bytes:
    return b"secret " + secret.encode() if secret else b"users " + users.digest()
