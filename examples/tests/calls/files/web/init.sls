{% from 'web/map.jinja' import web with context %}
include:
  - users

web-package:
  test.nop:
    - name: {{ web.package }}
    - mode: 0644
    - enable: yes
    - ratio: 0.5
    - none: ~
    - listen_in:
      - test: web-service

web-service:
  test.nop:
    - port: {{ web.port }}
    - names:
      - one
      - two:
        - extra: true
    - require:
      - test: web-package
    - watch_in:
      - test: 'grüße'
