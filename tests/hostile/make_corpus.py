"""Write the corpus: python tests/hostile/make_corpus.py. Files of other names stay as they are."""

from pathlib import Path

import messages
import pictures

HERE = Path(__file__).parent


def cases():
    """(folder, file name, bytes) of every file that this script makes."""
    for source in (pictures, messages):
        yield from (("accepted", name, data) for name, data in source.accepted().items())
        yield from (("refused", name, data) for name, data in source.refused().items())


def main():
    sizes = []
    for folder, name, data in cases():
        (HERE / folder).mkdir(exist_ok=True)
        (HERE / folder / name).write_bytes(data)
        sizes.append(len(data))
    print(f"{len(sizes)} files, {sum(sizes):,} bytes")


if __name__ == "__main__":
    main()
