import torch

from skoverparam.linalg._middle import middle_of


def test_points_far_away_do_not_move_the_middle():
    X = torch.full((1000, 2), 5.0)
    X[:100] = 1e30
    assert middle_of(X).tolist() == [5.0, 5.0]


def test_one_row_and_none():
    assert middle_of(torch.tensor([[3.0, -1.0]])).tolist() == [3.0, -1.0]
    assert middle_of(torch.empty(0, 2)).tolist() == [0.0, 0.0]
