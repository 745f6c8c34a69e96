"""The course of a sign-in: ask for a code, show it, wait, ask who it is, keep it, take the earlier one back."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from keystead.cli.failing import failure_of, interrupted
from keystead.cli.meanwhile import Meanwhile
from keystead.cli.presenting import Presenter
from keystead.client._device import DeviceLogin
from keystead.client._errors import KeysteadError, SignInRequired
from keystead.client._keeping import store_sign_in, take_back
from keystead.client._models import DeviceCode, TokenSet
from keystead.client._store import Context, PendingSignIn, Store
from keystead.kernel.scopes import Scope

CLIENT_NAME = "keystead"


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
            kept = store_sign_in(self.store, server, code, tokens, name=wish.name, also=wish.also)
        except BaseException:
            take_back(server, tokens.refresh_token)
            raise
        kept.take_back_replaced()
        return kept.context

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
