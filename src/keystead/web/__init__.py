"""The pages people see: view models, templates, and the static files they need, all served from here under a strict
content security policy. Deciding anything lives elsewhere: in `sessions` and in `oauth`.
"""
