"""A local page over the repository: routes, plain view functions on frozen values, templates.

Nothing is decided here: what is shown comes from `history`, `compare` and `tracking`, and what is moved is
moved by `store` and `publish`, as on the command line.
"""
