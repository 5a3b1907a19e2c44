"""A trained network put to use: label maps of new images, and the scores of a run's held-out cases once more.

>>> from lightm.inference import Predictor, predict, predict_file
>>> predictor = Predictor("runs/smoke")
>>> shares = predict_file(predictor, "radiograph.png", "lungs.png")  # {"background": 0.71, "lung": 0.29}
>>> predict(predictor, ["radiographs"], "masks")  # a folder, one file after the other
"""

from lightm.inference.files import predict, predict_file
from lightm.inference.held_out import evaluate_run
from lightm.inference.predictor import Predictor, load

__all__ = ["Predictor", "evaluate_run", "load", "predict", "predict_file"]
