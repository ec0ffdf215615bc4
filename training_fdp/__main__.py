"""`accelerate launch -m training_fdp ...`: training where the package is installed without the scripts."""

from training_fdp.commands.train import command

if __name__ == "__main__":
    command()
