"""Search a graph network for a graph of your own, keep the winner, use it.

Here the graph is made of scikit-learn's iris data: each flower is joined to its nearest ones.
"""

import numpy as np
import torch
from sklearn.datasets import load_iris
from sklearn.neighbors import kneighbors_graph
from torch_geometric.data import Data

import bequest


def iris_graph() -> Data:
    """150 flowers, 4 measurements, 3 species."""
    x, y = load_iris(return_X_y=True)
    edges = np.stack(kneighbors_graph(x, 6).nonzero())
    return Data(
        x=torch.from_numpy(x).float(),
        edge_index=torch.from_numpy(edges).long(),
        y=torch.from_numpy(y).long(),
    )


if __name__ == "__main__":
    data = iris_graph()
    study = bequest.Study(
        bequest.GraphEvaluator(bequest.NodeClassification(data, name="iris")), name="iris"
    )
    study.run(trials=15)
    print(f"best validation accuracy {study.best.value:.3f} with {study.best.config}")
    model = study.fit_best()
    print(f"test accuracy {model.metrics['test_accuracy']:.3f}")
    print("predicted species of the first five flowers:", model.predict(data)[:5].tolist())
    print("report:", study.report("iris.html"))
