"""The model that MLflow serves: this file is logged as code and loads weights, never a pickle."""

from __future__ import annotations

import warnings

import mlflow
from mlflow.pyfunc import PythonModel, PythonModelContext

# MLflow asks for type hints when the class is made (it would take them for a schema, and has none
# for graphs), and sets its own filters: only recording keeps the warning from the screen.
with warnings.catch_warnings(record=True):

    class ServedModel(PythonModel):  # type: ignore[misc]
        """A Bequest model behind MLflow's ``pyfunc`` interface."""

        def load_context(self, context: PythonModelContext) -> None:
            import bequest

            self.model = bequest.load_model(context.artifacts["model"])

        def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
            return self.model.predict(model_input)


mlflow.models.set_model(ServedModel())
