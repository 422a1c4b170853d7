dev:
  test.nop:
    - env: {{ saltenv }}
    - key: {{ pillar.get("stage") }}
