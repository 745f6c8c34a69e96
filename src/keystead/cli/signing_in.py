"""The course of a sign-in: ask for a code, show it, wait, ask who it is, keep it, take the earlier one back."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from keystead.cli.failing import failure_of, interrupted
from keystead.cli.meanwhile import Meanwhile
from keystead.cli.presenting import Presenter
from keystead.client._credentials import BearerCredential
from keystead.client._device import DeviceLogin
from keystead.client._errors import KeysteadError, SignInRequired
from keystead.client._keystead import Keystead
from keystead.client._models import DeviceCode, TokenSet
from keystead.client._oauth import revoke
from keystead.client._store import Context, PendingSignIn, SignIn, Store
from keystead.kernel.scopes import Scope
from keystead.kernel.secrets import Secret

CLIENT_NAME = "keystead"
TIDY_SECONDS = 5.0
"""How long to wait for a server that is asked to take something back on the way out."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for. ``name`` is the context's, empty for ``user@server``; no scopes stand for all of them."""

    server: str
    name: str = ""
    scopes: tuple[str, ...] = ()
    also: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SigningIn:
    """One sign-in at one server, which is kept in ``store``."""

    store: Store
    presenter: Presenter
    require_keyring: bool = False

    def run(self, wish: Wish, *, why_no_browser: str) -> None:
        """Sign in from start to end. Raises KeysteadError; then nothing was kept."""
        with self._told():
            self.presenter.start()
            prepared = self._prepare(wish)
            login = self._login(wish)
            code = login.start()
            self.presenter.code(code, why_no_browser=why_no_browser)
            prepared.finish()
            self._wait(login, code, wish)

    def begin(self, wish: Wish) -> PendingSignIn:
        """Ask for a code and keep it, so that another process can wait for the decision (promise D11)."""
        prepared = self._prepare(wish)
        login = self._login(wish)
        code = login.start()
        prepared.finish()
        return self.store.keep_pending(login.server, code, name=wish.name, also=wish.also)

    def resume(self, pending: PendingSignIn) -> None:
        """Wait for a sign-in that another process began. One that is decided, or ran out, is forgotten."""
        wish = Wish(pending.server, pending.name, also=pending.also)
        with self._told():
            self.presenter.start()
            prepared = self._prepare(wish)
            self.presenter.code(pending.code, why_no_browser=None)
            prepared.finish()
            try:
                self._wait(self._login(wish), pending.code, wish)
            except SignInRequired:
                self.store.drop_pending(pending.id)
                raise
            self.store.drop_pending(pending.id)

    def _prepare(self, wish: Wish) -> Meanwhile:
        """Make sure that the sign-in could be kept, before anybody approves it. Raises KeysteadError, now or later.

        A keyring that hangs takes two seconds to be found out (promise C1); nobody waits that long for the address
        (promise D10), unless there is no use in one without a keyring.
        """
        prepared = Meanwhile(lambda: self.store.prepare(wish.also))
        if self.require_keyring:
            prepared.finish()
        return prepared

    def _login(self, wish: Wish) -> DeviceLogin:
        """Return the SDK's sign-in. All scopes are asked for unless the wish names some."""
        scopes = wish.scopes or tuple(scope.value for scope in Scope)
        return DeviceLogin(wish.server, scopes=scopes, client_name=CLIENT_NAME, ids=self.store)

    def _wait(self, login: DeviceLogin, code: DeviceCode, wish: Wish) -> None:
        with self.presenter.waiting(code):
            tokens = login.wait(code)
        context = self._keep(login.server, wish, code, tokens)
        self.presenter.done(context, self.store)

    def _keep(self, server: str, wish: Wish, code: DeviceCode, tokens: TokenSet) -> Context:
        """Store the tokens of whoever they are for. Where that fails they are taken back: nobody would have them."""
        try:
            with Keystead(BearerCredential(server, tokens.access_token)) as client:
                me = client.whoami()
            sign_in = SignIn(server, code.client_id, me.username, me.user_id, wish.name, wish.also)
            earlier = self._earlier(sign_in.context)
            context = self.store.save(sign_in, tokens)
        except BaseException:
            _take_back(server, tokens.refresh_token)
            raise
        if earlier is not None:
            _take_back(*earlier)
        return context

    def _earlier(self, name: str) -> tuple[str, Secret | None] | None:
        """Return the sign-in that this one replaces, and which nobody would hold any more."""
        context = self.store.find(name)
        if context is None:
            return None
        try:
            return context.server, self.store.refresh_token(context)
        except KeysteadError:  # its keyring is locked; it ends by itself
            return None

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Tell the presenter of whatever ends the block before its end."""
        try:
            yield
        except KeysteadError as error:
            self.presenter.failed(failure_of(error))
            raise
        except KeyboardInterrupt:
            self.presenter.failed(interrupted())
            raise


def _take_back(server: str, refresh_token: Secret | None) -> None:
    """Revoke a sign-in that nobody holds any more. What cannot be taken back ends by itself."""
    if refresh_token is None:
        return
    try:
        revoke(server, refresh_token, timeout=TIDY_SECONDS)
    except KeysteadError:
        return
