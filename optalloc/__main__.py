"""``python -m optalloc`` is the command line."""

from optalloc.cli import main

main()
