"""The model that MLflow serves: this file is logged as code and loads weights, never a pickle."""

from __future__ import annotations

from typing import Any

import mlflow
from mlflow.pyfunc import PythonModel, PythonModelContext


class ServedModel(PythonModel):  # type: ignore[misc]
    """A Bequest model behind MLflow's ``pyfunc`` interface."""

    def load_context(self, context: PythonModelContext) -> None:
        import bequest

        self.model = bequest.load_model(context.artifacts["model"])

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        return self.model.predict(model_input)


mlflow.models.set_model(ServedModel())
