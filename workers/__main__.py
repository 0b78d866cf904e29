"""`python -m workers` is the `memoline` command."""

from workers.cli import main

if __name__ == "__main__":
    main()
