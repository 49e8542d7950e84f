"""Raft, decided purely: facts and the time go in, what to do comes out.

Read `raft` first (the state machine and what it asks for), then `ready` (the order in which to do
it), then the roles: `follower`, `candidate`, `leader`.  Below them: `log`, `progress` (one
follower as its leader sees it), `read_rounds` (linearizable reads), `configuration` (who is a
member, and how that changes), `quorum`.
"""
