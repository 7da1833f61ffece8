"""The HTTP side: one ASGI application a worker process. Async lives here and nowhere else.

Reading order: `app` (dispatch), `entities` (the routes of a table), `writes` (from request to
event to answer), `link` (to the node process), `system`, `problems`, `worker` (the process).
"""
