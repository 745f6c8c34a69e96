"""The OpenID provider of this API: device sign-in, tokens, and what can be asked of them."""
