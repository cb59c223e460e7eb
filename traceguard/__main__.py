"""`python -m traceguard` is the command `traceguard`."""

from traceguard.cli import main

if __name__ == "__main__":
    main()
