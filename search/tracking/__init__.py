"""What people look at: MLflow runs, the report, plots, progress bars."""
