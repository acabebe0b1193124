"""Write text with what char_lm learnt. `jaxrnn.cli.writing` has it, as `jaxrnn sample` is the same.

python -m experiments.sample                     seconds on two cores
python -m experiments.sample --prime "def main(" --length 1000 --temperature 0.8 --top-p 0.95
"""

from jaxrnn.cli import program, writing
from jaxrnn.cli.writing import Options, main

if __name__ == "__main__":
    program.run(Options, main, "sample", writing.__doc__)
