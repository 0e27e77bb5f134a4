"""An OAuth server that is not ours: Authlib on Flask, in a process of its own.

Authorization code with PKCE S256 required, `iss` in its answers (RFC 9207), short access tokens, refresh tokens that
rotate, and reuse protection as RFC 9700 §4.14.2 advises: a refresh token presented again ends its whole grant.
Revocation by RFC 7009. `/api/*` is what its tokens are for. `/control/*` is how a test looks in: it counts, revokes,
and holds refreshes at a gate before any work is done on them.

    _oauth_server.py PORT ACCESS_SECONDS REDIRECT_URI
"""

import base64
import contextlib
import itertools
import os
import secrets
import socket
import sys
import threading
import time

import flask
import flask.cli

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # loopback without TLS
from authlib.integrations.flask_oauth2 import AuthorizationServer  # noqa: E402
from authlib.oauth2 import OAuth2Error  # noqa: E402
from authlib.oauth2.rfc6749 import grants  # noqa: E402
from authlib.oauth2.rfc6749.models import (  # noqa: E402
    AuthorizationCodeMixin,
    ClientMixin,
    TokenMixin,
)
from authlib.oauth2.rfc7009 import RevocationEndpoint  # noqa: E402
from authlib.oauth2.rfc7636 import CodeChallenge  # noqa: E402
from authlib.oauth2.rfc9207 import IssuerParameter  # noqa: E402

CLIENT_ID = "orchard-client"
# With what Basic must encode before it joins (RFC 6749 §2.3.1).
CLIENT_SECRET = "orchard:secret/with+all%of it"


class Client(ClientMixin):
    client_id = CLIENT_ID

    def __init__(self, redirect_uri):
        self.redirect_uri = redirect_uri

    def get_client_id(self):
        return self.client_id

    def get_default_redirect_uri(self):
        return self.redirect_uri

    def get_allowed_scope(self, scope):
        return " ".join(each for each in (scope or "").split() if each in ("profile", "apples.read", "offline_access"))

    def check_redirect_uri(self, redirect_uri):
        return redirect_uri == self.redirect_uri

    def check_client_secret(self, client_secret):
        return secrets.compare_digest(client_secret, CLIENT_SECRET)

    def check_endpoint_auth_method(self, method, endpoint):
        return method == "client_secret_basic"

    def check_response_type(self, response_type):
        return response_type == "code"

    def check_grant_type(self, grant_type):
        return grant_type in ("authorization_code", "refresh_token")


class Grant:
    """What one consent gave; `why` it ended, else None."""

    def __init__(self, number, account):
        self.id, self.account = f"g{number}", account
        self.why = None
        self.refreshes = self.reuse = self.in_flight = self.max_in_flight = 0


class Code(AuthorizationCodeMixin):
    def __init__(self, code, request, account):
        self.code, self.account, self.made = code, account, time.time()
        self.redirect_uri = request.payload.redirect_uri
        self.scope = request.scope
        self.code_challenge = request.payload.data.get("code_challenge")
        self.code_challenge_method = request.payload.data.get("code_challenge_method")

    def get_redirect_uri(self):
        return self.redirect_uri

    def get_scope(self):
        return self.scope


class Token(TokenMixin):
    def __init__(self, token, grant):
        self.access, self.refresh = token["access_token"], token.get("refresh_token")
        self.scope, self.expires_in = token["scope"], token["expires_in"]
        self.made, self.grant, self.is_spent = time.time(), grant, False

    def check_client(self, client):
        return client.client_id == CLIENT_ID

    def get_scope(self):
        return self.scope

    def get_expires_in(self):
        return self.expires_in

    def is_expired(self):
        return time.time() > self.made + self.expires_in

    def is_revoked(self):
        return self.grant.why is not None

    def get_user(self):
        return self.grant.account

    def get_client(self):
        return Client("")


class State:
    def __init__(self):
        self.lock = threading.RLock()
        self.codes, self.by_access, self.by_refresh, self.grants = {}, {}, {}, []
        self.numbers = itertools.count(1)
        self.token_requests = self.revocations = self.unauthorized = 0
        self.refusals, self.issued = [], []
        # A closed gate holds refreshes; opened, it lets go what it holds: to work, or to a closed connection.
        self.gate_closed = False
        self.held = []

    @contextlib.contextmanager
    def flight(self, grant):
        if grant is None:
            yield
            return
        with self.lock:
            grant.in_flight += 1
            grant.max_in_flight = max(grant.max_in_flight, grant.in_flight)
        try:
            yield
        finally:
            with self.lock:
                grant.in_flight -= 1

    def pass_gate(self):
        """Whether the request may go on."""
        with self.lock:
            if not self.gate_closed:
                return True
            held = {"event": threading.Event(), "go": False, "since": time.monotonic()}
            self.held.append(held)
        held["event"].wait(60)
        return held["go"]


def make_app(port, access_seconds, redirect_uri):
    app = flask.Flask(__name__)
    app.config["OAUTH2_REFRESH_TOKEN_GENERATOR"] = True
    app.config["OAUTH2_TOKEN_EXPIRES_IN"] = {"authorization_code": access_seconds, "refresh_token": access_seconds}
    state = State()
    client = Client(redirect_uri)
    issuer = f"http://127.0.0.1:{port}"

    def save_token(token, request):
        with state.lock:
            old = getattr(request, "refresh_token", None)
            if old is not None:
                grant = old.grant
            else:
                grant = Grant(next(state.numbers), request.user)
                state.grants.append(grant)
            kept = Token(token, grant)
            state.by_access[kept.access] = kept
            state.by_refresh[kept.refresh] = kept
            state.issued.append(kept.access)

    server = AuthorizationServer(app, lambda name: client if name == CLIENT_ID else None, save_token)

    class CodeGrant(grants.AuthorizationCodeGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic"]

        def save_authorization_code(self, code, request):
            state.codes[code] = Code(code, request, request.user)

        def query_authorization_code(self, code, client):
            found = state.codes.get(code)
            return found if found and time.time() < found.made + 60 else None

        def delete_authorization_code(self, authorization_code):
            del state.codes[authorization_code.code]

        def authenticate_user(self, authorization_code):
            return authorization_code.account

    class RefreshGrant(grants.RefreshTokenGrant):
        TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic"]
        INCLUDE_NEW_REFRESH_TOKEN = True

        def authenticate_refresh_token(self, refresh_token):
            with state.lock:
                token = state.by_refresh.get(refresh_token)
                if token is None or token.is_revoked():
                    return None
                if token.is_spent:
                    token.grant.reuse += 1
                    token.grant.why = "reuse of a refresh token"
                    return None
                # Spent from here on, whatever becomes of the answer.
                token.is_spent = True
                token.grant.refreshes += 1
                return token

        def authenticate_user(self, refresh_token):
            return refresh_token.grant.account

        def revoke_old_credential(self, refresh_token):
            state.by_access.pop(refresh_token.access, None)

    class Revocation(RevocationEndpoint):
        CLIENT_AUTH_METHODS = ["client_secret_basic"]

        def query_token(self, token_string, token_type_hint):
            return state.by_refresh.get(token_string) or state.by_access.get(token_string)

        def revoke_token(self, token, request):
            with state.lock:
                state.revocations += 1
                token.grant.why = token.grant.why or "revoked by its client"

    class S256(CodeChallenge):
        SUPPORTED_CODE_CHALLENGE_METHOD = ["S256"]

        def validate_code_challenge(self, grant, redirect_uri):
            # Of every client, not only of public ones (RFC 9700 §2.1.1).
            if grant.request.payload.data.get("code_challenge_method") != "S256":
                from authlib.oauth2.rfc6749.errors import InvalidRequestError

                raise InvalidRequestError("PKCE with S256 is required")
            super().validate_code_challenge(grant, redirect_uri)

    class Issuer(IssuerParameter):
        def get_issuer(self):
            return issuer

    server.register_grant(CodeGrant, [S256(required=True)])
    server.register_grant(RefreshGrant)
    server.register_endpoint(Revocation)
    server.register_extension(Issuer())

    @app.get("/authorize")
    def ask():
        try:
            grant = server.get_consent_grant(end_user=None)
        except OAuth2Error as error:
            return server.handle_error_response(None, error)
        return flask.render_template_string(
            "<!doctype html><title>Orchard</title><h1>Allow {{ client }}?</h1><p>Scopes: {{ scope }}</p>"
            '<form method="post"><label>Account <input name="account" value="ann@orchard.example"></label>'
            '<button name="decision" value="allow">Allow</button>'
            '<button name="decision" value="deny">Deny</button></form>',
            client=CLIENT_ID,
            scope=grant.request.scope,
        )

    @app.post("/authorize")
    def decide():
        allowed = flask.request.form.get("decision") == "allow"
        try:
            grant = server.get_consent_grant(end_user=None)
        except OAuth2Error as error:
            return server.handle_error_response(None, error)
        return server.create_authorization_response(
            grant_user=flask.request.form["account"] if allowed else None, grant=grant
        )

    @app.post("/token")
    def token():
        presented = state.by_refresh.get(flask.request.form.get("refresh_token", ""))
        with state.lock:
            state.token_requests += 1
        with state.flight(presented.grant if presented else None):
            if presented and not state.pass_gate():
                # Not worked on; the connection closes without an answer.
                flask.request.environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
                return "", 503
            time.sleep(0.05)  # as a network would: overlaps are seen
            answer = server.create_token_response()
            if answer.status_code != 200:
                with state.lock:
                    state.refusals.append(answer.get_json(silent=True) or {"status": answer.status_code})
            return answer

    @app.post("/revoke")
    def revoke():
        return server.create_endpoint_response("revocation")

    def bearer():
        kind, _, text = flask.request.headers.get("Authorization", "").partition(" ")
        found = state.by_access.get(text) if kind == "Bearer" else None
        if found and not found.is_expired() and not found.is_revoked():
            return found
        with state.lock:
            state.unauthorized += 1
        answer = flask.jsonify(error="invalid_token")
        answer.headers["WWW-Authenticate"] = 'Bearer error="invalid_token"'
        flask.abort(flask.make_response(answer, 401))

    @app.get("/api/whoami")
    def whoami():
        found = bearer()
        return {
            "sub": "user-" + base64.b32encode(found.grant.account.encode()).decode().rstrip("=").lower(),
            "email": found.grant.account,
            "scope": found.scope,
        }

    @app.get("/api/apples")
    def apples():
        found = bearer()
        return {"apples": ["Boskoop", "Elstar"], "of": found.grant.account, "limit": flask.request.args.get("limit")}

    @app.get("/control/report")
    def report():
        with state.lock:
            return {
                "token_requests": state.token_requests,
                "revocations": state.revocations,
                "refusals": state.refusals,
                "unauthorized": state.unauthorized,
                "held": len(state.held),
                "grants": [
                    {
                        "id": each.id,
                        "account": each.account,
                        "alive": each.why is None,
                        "why": each.why,
                        "refreshes": each.refreshes,
                        "reuse": each.reuse,
                        "in_flight": each.in_flight,
                        "max_in_flight": each.max_in_flight,
                    }
                    for each in state.grants
                ],
            }

    @app.get("/control/tokens")
    def tokens():
        with state.lock:
            return [*state.by_refresh, *state.issued]

    @app.post("/control/grants/<name>/revoke")
    def end_grant(name):
        with state.lock:
            grant = next(each for each in state.grants if each.id == name)
            grant.why = "revoked by its user"
        return {}

    @app.post("/control/gate/<action>")
    def gate(action):
        """close; then open (what is held goes to work) or drop (it gets no answer), which also opens.

        What is held for so long that its client may have left is dropped in any case: work on it would be a rotation
        that nobody hears of.
        """
        with state.lock:
            patient = time.monotonic() - 2.5
            state.gate_closed = action == "close"
            if not state.gate_closed:
                for each in state.held:
                    each["go"] = action == "open" and each["since"] > patient
                    each["event"].set()
                state.held.clear()
        return {}

    return app


def main():
    port, access_seconds, redirect_uri = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    import logging

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    flask.cli.show_server_banner = lambda *_: None
    # Ends with the test that started it, however that ends: it holds the other end of our standard input.
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    make_app(port, access_seconds, redirect_uri).run("127.0.0.1", port, threaded=True)


if __name__ == "__main__":
    main()
