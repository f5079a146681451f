"""The peers: the same job on other frameworks, each in an environment of its own.

Nothing here imports txnwatch. A peer is told what to do by the variables that start with `PEER_`.
"""
