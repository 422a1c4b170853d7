deep:
  er:
    key: value
    list:
      - x
      - y: z
secret: hidden
