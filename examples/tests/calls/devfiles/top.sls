dev:
  "*": [only]
