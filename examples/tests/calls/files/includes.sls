include:
  - nowhere
one:
  test.nop
