base:
  '*':
    - web
  'os:Debian':
    - match: grain
    - users
