"""The SDK: device sign-in, the credential store, authentication for httpx and requests, and the typed Account API."""
