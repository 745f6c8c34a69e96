"""The credential store: where sign-ins are kept on a person's machine, shared by every program that runs there.

``store`` is the way in; ``file`` and ``lock`` keep it whole, ``keyring`` keeps the refresh token where the system can,
``also`` writes the files of other programs. Who renews tokens is ``keystead.client._credentials``.
"""

from keystead.client._store.also import PARALLEL_CLI, PROGRAMS, PW
from keystead.client._store.contexts import IN_FILE, IN_KEYRING, Context, PendingSignIn, SignIn
from keystead.client._store.store import Store

__all__ = ["IN_FILE", "IN_KEYRING", "PARALLEL_CLI", "PROGRAMS", "PW", "Context", "PendingSignIn", "SignIn", "Store"]
