grüße:
  test.succeed_with_changes:
    - text: |
        two
        lines
    - env: {{ saltenv }}
extend:
  web-package:
    test.nop:
      - mode: 600
