"""Neural collapse: its measures, over layers, over training, and what they mean for transfer."""
