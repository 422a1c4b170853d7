dev:
  '*':
    - stage
