"""The same traffic to trioetcd and to Go's etcd, and every difference between the answers.

`run.Differential` drives it: `traffic` makes calls from a seed and from what the `world` is known
to be, `clients` carries bytes and interprets nothing, `watches` holds the watch streams, and
`compare` looks.  Where trioetcd follows a release newer than 3.5.1, `rules` says so.
"""
