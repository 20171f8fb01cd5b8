"""`python -m localassist` is the command `localassist`."""

from localassist.cli.main import app

if __name__ == "__main__":
    app(prog_name="localassist")
