"""The peers' servers, as their documentation shows them; run by the peers' own interpreters.

They and what they import make do with the standard library, numpy and the peer.
"""
