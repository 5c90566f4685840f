"""The commands `headrace` and `tailrace`: arguments to the API, and answers to tables or JSON.

Each command lives in a module of its own, imported when it is called: `headrace get lb` must start
in 150 ms. What a command needs beyond the standard library it imports when it runs.
"""

__all__: list[str] = []
