"""`trioetcd ctl`: etcdctl's words, on our own client."""
