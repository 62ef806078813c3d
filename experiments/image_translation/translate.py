r"""Paints pictures of the other domain from pictures of one: a file or all of a folder, of any size.

    python -m experiments.image_translation.translate --run=RUN --input=FILE|FOLDER --output=FOLDER --samples=4
    … --reference=FILE      in the style of a picture of the domain that is painted
    … --interpolate=A,B     styles from one to another: two such files, or two seeds; a sheet beside the pictures
    … --reverse             x from y, where y from x is usual
    … --restyle             pictures of y in another style of y; needs --samples, --reference or --interpolate

RUN is the --workdir of `main`. NAME.jpg becomes NAME_0.png, NAME_1.png, ... A file that fails does not stop the rest:
it is listed at the end, and the exit status is 1. Published files of CycleGAN and BicycleGAN stand in for a run:
`--weights=latest_net_G_A.pth --method=cyclegan`, `--weights=latest_net_G.pth,latest_net_E.pth --method=bicyclegan`.
"""

if __name__ == "__main__":
    from experiments.image_translation import command

    command.run()
