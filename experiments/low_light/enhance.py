r"""Brightens photographs: one file or all of a folder, of any size, and a page of before and after.

    python -m experiments.low_light.enhance --input=dark.jpg --output=bright.jpg
    python -m experiments.low_light.enhance --input=FOLDER --output=OTHER_FOLDER --method=improved

Methods: improved (the default), cm, lm, gpe (the published forms, their tone learnt from the image reduced to 256
pixels), and fbe, wvm, lime, srrm, gble_like, which need memory for some 30 copies of the image and compile a
program for each size; the others take tiles. A file that fails does not stop the rest: it is listed at the end, and the
exit status is 1.
"""

import os
import signal

if __name__ == "__main__":
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        # Loading takes seconds. Ctrl-C then ends the process at once: extension modules that were loaded in part crash
        # where Python tidies up.
        signal.signal(signal.SIGINT, lambda number, frame: os._exit(128 + number))
    from experiments.low_light import command

    signal.signal(signal.SIGINT, before)
    command.run()
