import sys

from tests.lab.launch import main

sys.exit(main(sys.argv[1:]))
