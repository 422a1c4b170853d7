web:
  port: 8080
  hosts: [a, b]
flag: true
nothing: ~
number: 7
float: 1.5
text: "two\nlines"
empty: {}
none: []
