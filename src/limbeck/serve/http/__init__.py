"""Between the socket and the protocols: bytes of HTTP in, `Call`s to routes, `Reply`s out.

`front` carries a request through; `connection` watches over slow and lost clients; `server` listens
and drains; `supervisor` runs several processes. Nothing here knows what a model is.
"""
