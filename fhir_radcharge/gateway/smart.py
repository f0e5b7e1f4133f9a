"""Tokens of SMART Backend Services: a signed assertion in, a short-lived token out; neither is ever logged."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import aiohttp
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from fhir_radcharge.errors import ConfigError

# An assertion may live five minutes at most; one request takes seconds.
_ASSERTION_S: Final = 120
_EARLY_S: Final = 20
_TOKEN_S_MAX: Final = 3600
_ANSWER_BYTES_MAX: Final = 64 * 1024
_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class TokenError(Exception):
    """No token was given; the text holds a status or a kind of error, and nothing of what was said."""


class Client(NamedTuple):
    """Who asks for tokens, where, and for what."""

    token_url: str
    client_id: str
    key: Any
    key_id: str
    algorithm: str
    scope: str


def client_of(token_url: str, client_id: str, key: Path, key_id: str, algorithm: str, scope: str) -> Client:
    """Return a client with its key read; raise ConfigError where the file holds no such key."""
    kind = RSAKey if algorithm == "RS384" else ECKey
    try:
        found = kind.import_key(key.read_bytes())
    except Exception as error:  # noqa: BLE001  the library raises many kinds, and their texts may quote the key
        reason = type(error).__name__
    else:
        return Client(token_url, client_id, found, key_id, algorithm, scope)
    raise ConfigError(f"{key.name}: holds no key for {algorithm} ({reason}); write a private key in PEM")


class Tokens:
    """The token of one link: asked for when it is needed, kept until shortly before its end."""

    def __init__(self, client: Client, session: aiohttp.ClientSession, clock: Callable[[], float] = time.time) -> None:
        self._client = client
        self._session = session
        self._clock = clock
        self._token = ""
        self._until = 0.0
        self._one = asyncio.Lock()

    async def token(self) -> str:
        """Return a token that is good for a while; raise TokenError where none is given."""
        async with self._one:
            if self._clock() >= self._until:
                await self._renew()
            return self._token

    def forget(self, token: str) -> None:
        """Use a token no more: the receiver has refused it."""
        if token == self._token:
            self._until = 0.0

    async def _renew(self) -> None:
        client, now = self._client, int(self._clock())
        claims = {
            "iss": client.client_id, "sub": client.client_id, "aud": client.token_url,
            "exp": now + _ASSERTION_S, "iat": now, "jti": uuid.uuid4().hex,
        }  # fmt: skip
        header = {"alg": client.algorithm, "kid": client.key_id, "typ": "JWT"}
        form = {
            "grant_type": "client_credentials",
            "scope": client.scope,
            "client_assertion_type": _TYPE,
            "client_assertion": jwt.encode(header, claims, client.key, algorithms=[client.algorithm]),
        }
        try:
            async with self._session.post(client.token_url, data=form, allow_redirects=False) as response:
                if response.status != 200:
                    raise TokenError(str(response.status))
                answer = cast(dict[str, Any], json.loads(await response.content.read(_ANSWER_BYTES_MAX)))
            token, lives = answer["access_token"], int(answer.get("expires_in", 60))
            if not isinstance(token, str) or not token.isascii() or any(c.isspace() for c in token):
                raise TokenError("no token")
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise TokenError(type(error).__name__) from None
        self._token, self._until = token, now + max(1, min(lives, _TOKEN_S_MAX) - _EARLY_S)
