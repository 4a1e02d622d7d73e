"""Two objectives: graph networks that are good, and graph networks that are small."""

import bequest

if __name__ == "__main__":
    evaluator = bequest.GraphEvaluator(bequest.load_task("digits-knn"))
    study = bequest.Study(evaluator, sampler="gp", minimize=["parameters"])
    study.run(trials=20, workers=2)
    for trial in study.front:  # what no other trial beats in both
        size, layer = trial.metrics["parameters"], trial.config["layer"]
        print(f"accuracy {trial.value:.3f} with {size:6.0f} parameters of type {layer}")
