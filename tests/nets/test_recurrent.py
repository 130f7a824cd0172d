"""Two LSTMs against torch's bidirectional one on packed sequences."""

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from skoverparam.nets._recurrent import RecurrentLayer


def test_layer_is_the_packed_bidirectional_lstm():
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        layer = RecurrentLayer(5, 4, causal=False, dropout=0.0).double()
        reference = nn.LSTM(5, 4, batch_first=True, bidirectional=True).double()
        for name, weight in layer.forwards.named_parameters():
            reference.get_parameter(name).copy_(weight)
        for name, weight in layer.backwards.named_parameters():
            reference.get_parameter(f"{name}_reverse").copy_(weight)
    X = torch.randn(3, 7, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    lengths = torch.tensor([7, 4, 1])
    valid = torch.arange(7) < lengths[:, None]
    packed = pack_padded_sequence(X, lengths, batch_first=True)
    expected = pad_packed_sequence(reference(packed)[0], batch_first=True)[0]
    got = layer(X, valid)
    torch.testing.assert_close(got[valid], expected[valid], rtol=0, atol=1e-12)
    torch.testing.assert_close(layer(X, None), reference(X)[0], rtol=0, atol=1e-12)
