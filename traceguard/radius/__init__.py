"""Who is hit if this goes wrong, and what would happen if it did: reach and what-if over recorded requests.

`names` finds what the user meant, `reach` answers who reaches a target, `what_if` retimes every recorded request. Both
stream over partitions of linked traces; neither draws random numbers.
"""
