"""The course of a sign-in: ask for a code, show it, wait, ask who it is, keep it, take the earlier one back."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from keystead.cli.failing import failure_of, interrupted
from keystead.cli.presenting import Presenter
from keystead.client._credentials import BearerCredential
from keystead.client._device import DeviceLogin
from keystead.client._errors import KeysteadError
from keystead.client._keystead import Keystead
from keystead.client._models import DeviceCode, TokenSet
from keystead.client._oauth import revoke
from keystead.client._store import Context, PendingSignIn, SignIn, Store
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

    def run(self, wish: Wish, *, why_no_browser: str) -> Context:
        """Sign in from start to end. Raises KeysteadError; then nothing was kept."""
        with told(self.presenter):
            self.presenter.start()
            login = self.device_login(wish)
            code = login.start()
            self.presenter.code(code, why_no_browser=why_no_browser)
            return self._wait(login, code, wish)

    def begin(self, wish: Wish) -> PendingSignIn:
        """Ask for a code and keep it, so that another process can wait for the decision (promise D11)."""
        code = self.device_login(wish).start()
        return self.store.remember_pending(wish.server, code, name=wish.name, also=wish.also)

    def resume(self, pending: PendingSignIn) -> Context:
        """Wait for a sign-in that another process began. What was decided, or ran out, is not kept any longer."""
        wish = Wish(pending.server, pending.name, also=pending.also)
        with told(self.presenter):
            self.presenter.start()
            self.presenter.code(pending.code, why_no_browser="the address was given when this sign-in began")
            return self._wait(self.device_login(wish), pending.code, wish, pending)

    def device_login(self, wish: Wish) -> DeviceLogin:
        """Return the SDK's sign-in. All scopes are asked for unless the wish names some."""
        scopes = wish.scopes or tuple(scope.value for scope in Scope)
        return DeviceLogin(wish.server, scopes=scopes, client_name=CLIENT_NAME, ids=self.store)

    def _wait(self, login: DeviceLogin, code: DeviceCode, wish: Wish, pending: PendingSignIn | None = None) -> Context:
        with self.presenter.waiting(code):
            tokens = login.wait(code)
        context = self._keep(wish, code, tokens)
        self.presenter.done(context, self.store)
        return context

    def _keep(self, wish: Wish, code: DeviceCode, tokens: TokenSet) -> Context:
        try:
            with Keystead(BearerCredential(wish.server, tokens.access_token)) as client:
                me = client.whoami()
            sign_in = SignIn(wish.server, code.client_id, me.username, me.user_id, wish.name, wish.also)
            earlier = self.store.find(sign_in.context)
            context = self.store.save(sign_in, tokens)
        except BaseException:
            _take_back(wish.server, tokens)
            raise
        if earlier is not None:
            self._replace(earlier)
        return context


@contextmanager
def told(presenter: Presenter) -> Iterator[None]:
    """Tell the presenter of whatever ends the block before its end."""
    try:
        yield
    except KeysteadError as error:
        presenter.failed(failure_of(error))
        raise
    except KeyboardInterrupt:
        presenter.failed(interrupted())
        raise
