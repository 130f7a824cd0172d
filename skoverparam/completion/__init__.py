"""The mathematics of matrix completion: functions on tensors, without scikit-learn."""
