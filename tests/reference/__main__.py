"""Write the reference pages: `python -m tests.reference`."""

from tests.reference.pages import write

for name in write():
    print(f"docs/reference/{name} is new")
