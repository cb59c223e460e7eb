"""Who may come in: addresses, tokens, certificates, and the guards of both ports."""
