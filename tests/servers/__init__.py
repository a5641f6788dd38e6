"""Real servers for tests: PostgreSQL, MLflow, and a collector of OpenTelemetry traces.

`tests/conftest.py` hands their fixtures to every test by name: `postgres`, `postgres_cluster`,
`mlflow_server` and `otlp_collector`. A server starts when a test first asks for it, on a free port
of 127.0.0.1 and in a temporary folder, and is gone after the last test. Where its programs are not
installed, the tests that need it are skipped and say so.
"""
