"""The routing table: what each request meets, route by route, and why.

Read `table` (the values) first, then `build` (objects to table), `match` (request to decision) and `explain`
(decision to words). Import from the modules: this package re-exports nothing, since the balancer shares
`table` and is itself read by `build`.
"""
