"""What every other package uses: errors, the home folder, databases, threads, an MLflow client."""
