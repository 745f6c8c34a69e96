"""The entry of the command line, as ``keystead`` and as ``python -m keystead``.

Exit codes: 0 done, 1 something failed, 2 wrong options, 3 sign-in needed, 4 refused by the server, 5 network, 130
stopped by Ctrl-C. Two commands are answered before anything heavy is imported: ``--version``, and ``auth token
--print``, which other programs run before each of their own requests.
"""

import sys


def main() -> None:
    """Run the command that the arguments name, and exit with its code."""
    try:
        sys.exit(_answer(sys.argv[1:]))
    except KeyboardInterrupt:  # while the command was loading
        sys.stderr.write("Stopped.\n")
        sys.exit(130)


def _answer(arguments: list[str]) -> int:
    if arguments == ["--version"]:
        from keystead import __version__

        sys.stdout.write(f"keystead {__version__}\n")
        return 0
    if arguments[:2] == ["auth", "token"]:
        answer = _token_at_hand(arguments[2:])
        if answer is not None:
            sys.stdout.write(answer + "\n")
            return 0
    from keystead.cli.running import run

    return run(arguments)


def _token_at_hand(options: list[str]) -> str | None:
    """Return what ``auth token --print`` prints when a token is at hand and still good, None when more is needed."""
    if "--print" not in options:
        return None
    form, context, rest = "text", None, iter(options)
    for option in rest:
        if option in {"-o", "--output"}:
            form = next(rest, "")
        elif option == "--json":
            form = "json"
        elif option == "--context":
            context = next(rest, "")
        elif option != "--print":
            return None
    if form not in {"text", "json"} or context == "":
        return None
    import os

    from keystead.client._quick import seconds_left, valid_token

    found = valid_token(context, os.environ)
    if found is None or form == "text":
        return None if found is None else found[0]
    import json
    import time

    token, expires_at = found
    return json.dumps(
        {"access_token": token, "token_type": "bearer", "expires_in": seconds_left(expires_at, time.time())}
    )


if __name__ == "__main__":
    main()
