base:
  '*':
    - data
    - web
