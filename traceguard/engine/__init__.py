"""Where the reduction from spans to facts runs. Today: this machine."""
