bad:
  test.nop:
    - a: {{ nothing }}
