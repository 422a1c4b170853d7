stage: dev
