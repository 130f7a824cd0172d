"""The mathematics of image completion: functions on tensors, without scikit-learn."""
