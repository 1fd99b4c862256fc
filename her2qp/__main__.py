"""``python -m her2qp``."""

from her2qp.cli import main

if __name__ == "__main__":
    main()
