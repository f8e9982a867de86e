"""Against a real Prefect server, client and worker, from a virtual environment of their own (`make test-prefect`)."""
