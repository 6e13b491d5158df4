"""`python -m limbeck`, which torchrun -m needs: the same as the `limbeck` script."""

from limbeck.cli.main import main

if __name__ == "__main__":
    main()
