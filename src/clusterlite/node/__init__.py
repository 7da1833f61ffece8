"""The node: wires a log and a replica. Synchronous, with threads; see `engine` for which.

Reading order: `frames` (what the link says), `watermark`, `follower`, `engine`, `startup`,
`guard`, `link`, and `node`, the embedded library's main object.
"""
