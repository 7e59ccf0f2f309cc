# The commands the project offers. CI runs `make test` and nothing else of substance.
.PHONY: help demo test bench fuzz deps lint clean
help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)
