"""Learn to write: a recurrent language model on real text. `jaxrnn.cli.char_lm` has it, as `jaxrnn train` is the same.

python -m experiments.char_lm                    three to five minutes on two cores; --help has more
"""

from jaxrnn.cli import char_lm, program
from jaxrnn.cli.char_lm import Options, main

if __name__ == "__main__":
    program.run(Options, main, "char_lm", char_lm.__doc__)
