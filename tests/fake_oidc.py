"""A strict identity provider on loopback. What no provider would take it refuses, and what it was asked wrongly it notes."""

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())

type Claims = dict[str, Any]


def unchanged(found: Claims) -> Claims:
    return found


@dataclass
class FakeIdentityProvider:
    """`person` is who signs in next. The three functions change what is answered, for tests of what goes wrong."""

    client_id: str = "keyhold"
    client_secret: str = "s3cret/canary+of=the client"
    redirect_uri: str = ""
    auth_methods: tuple[str, ...] = ("client_secret_basic", "client_secret_post")
    person: Claims = field(default_factory=lambda: {"sub": "1", "email": "alice@example.com"})
    userinfo: Claims | None = None
    say: Callable[[Claims], Claims] = unchanged  # about the document
    claim: Callable[[Claims], Claims] = unchanged  # in the ID token
    sign: Callable[[Claims], str] | None = None
    issuer: str = ""
    violations: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    codes: dict[str, Claims] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)

    def start(self) -> "FakeIdentityProvider":
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                fake.take(self)

            def do_POST(self) -> None:
                fake.take(self)

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=[0.01], daemon=True).start()
        return self

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def visit(self, address: str) -> str:
        """What a browser gets that signs in there: where it is sent back to."""
        url = urlsplit(address)
        query = dict(parse_qsl(url.query, strict_parsing=True))
        expected = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "code_challenge_method": "S256",
        }
        self.require(address.startswith(f"{self.issuer}/authorize?"), "another endpoint")
        self.require(expected.items() <= query.items(), "an authorization request that does not fit")
        self.require("openid" in query["scope"].split(), "a scope without openid")
        self.require(min(len(query[name]) for name in ("state", "nonce", "code_challenge")) >= 32, "too little randomness")
        code = secrets.token_urlsafe(16)
        self.codes[code] = {"challenge": query["code_challenge"], "nonce": query["nonce"]}
        return f"{self.redirect_uri}?{urlencode({'code': code, 'state': query['state'], 'iss': self.issuer})}"

    def take(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("content-length", 0))).decode()
        headers = {name.lower(): value for name, value in handler.headers.items()}
        path = urlsplit(handler.path).path
        self.asked.append(path)
        if path == "/authorize":
            handler.send_response(302)
            handler.send_header("location", self.visit(self.issuer + handler.path))
            handler.send_header("content-length", "0")
            handler.end_headers()
            return
        answers = {
            "/.well-known/openid-configuration": self.document,
            "/keys": self.keys,
            "/token": lambda: self.token(headers, body),
            "/userinfo": lambda: self.about(headers),
        }
        self.require("?" not in handler.path, "a query")
        status, answer = (200, answers[path]()) if path in answers else (404, {})
        if "error" in answer:
            status = 400
        text = json.dumps(answer).encode()
        handler.send_response(status)
        handler.send_header("content-type", "application/json")
        handler.send_header("content-length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text)

    def document(self) -> Claims:
        found = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "token_endpoint_auth_methods_supported": list(self.auth_methods),
        }
        if self.userinfo is not None:
            found["userinfo_endpoint"] = f"{self.issuer}/userinfo"
        return self.say(found)

    def keys(self) -> Claims:
        rsa_key = RSAAlgorithm.to_jwk(RSA_KEY.public_key(), as_dict=True) | {"kid": "r", "use": "sig", "alg": "RS256"}
        ec_key = ECAlgorithm.to_jwk(EC_KEY.public_key(), as_dict=True) | {"kid": "e", "use": "sig"}
        return {"keys": [rsa_key, ec_key]}

    def token(self, headers: dict[str, str], body: str) -> Claims:
        form = {name: values[0] for name, values in parse_qs(body, strict_parsing=True).items()}
        if not self.is_client(headers, form):
            return {"error": "invalid_client"}
        begun = self.codes.pop(form.get("code", ""), None)
        if begun is None or form.get("grant_type") != "authorization_code" or form.get("redirect_uri") != self.redirect_uri:
            return {"error": "invalid_grant"}
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != begun["challenge"]:
            self.require(False, "a verifier that does not fit")
            return {"error": "invalid_grant"}
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": self.client_id, "iat": now, "exp": now + 300, "nonce": begun["nonce"]} | self.person
        access = secrets.token_urlsafe(16)
        self.tokens.add(access)
        sign = self.sign or signed
        return {"access_token": access, "token_type": "Bearer", "id_token": sign(self.claim(claims))}

    def is_client(self, headers: dict[str, str], form: dict[str, str]) -> bool:
        """In exactly one of the ways that are offered."""
        authorization = headers.get("authorization", "")
        if authorization and "client_secret" in form:
            self.require(False, "a secret in two places")
        if authorization.startswith("Basic ") and "client_secret_basic" in self.auth_methods:
            name, _, secret = base64.b64decode(authorization[6:]).decode().partition(":")
            return (unquote(name), unquote(secret)) == (self.client_id, self.client_secret)
        in_body = (form.get("client_id"), form.get("client_secret")) == (self.client_id, self.client_secret)
        return in_body and "client_secret_post" in self.auth_methods

    def about(self, headers: dict[str, str]) -> Claims:
        self.require(headers.get("authorization", "").removeprefix("Bearer ") in self.tokens, "another access token")
        return self.userinfo or {}

    def require(self, holds: bool, violation: str) -> None:
        if not holds:
            self.violations.append(violation)


def signed(claims: Claims, key: Any = RSA_KEY, algorithm: str = "RS256", kid: str | None = "r") -> str:
    return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": kid} if kid else None)
