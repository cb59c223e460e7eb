"""How to roll a change out so that a regression of a given size is noticed before it has hit many: exposure steps.

`recorded` follows every request to the target, `traffic` says how many users come in how much time, `noise` what the
report would measure at an exposure, `power` how often it would call it a regression, `plan` puts steps together.
"""
