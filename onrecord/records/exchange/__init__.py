"""What leaves the store and what comes in: files, OTLP, MLflow."""
