import torch

from skoverparam.inpainting._held_out import draw_held_out


def test_a_twentieth_of_the_observed_pixels_is_drawn():
    missing = torch.rand(200, 300, generator=torch.Generator().manual_seed(0)) < 0.5
    held_out = draw_held_out(missing)
    assert not (held_out & missing).any()
    # Binomial: five standard deviations of 30000 draws.
    assert abs(float(held_out.sum() / (~missing).sum()) - 0.05) < 5 * (0.05 * 0.95 / 30000) ** 0.5


def test_an_image_in_a_batch_is_drawn_from_as_alone():
    missing = torch.rand(3, 20, 30, generator=torch.Generator().manual_seed(1)) < 0.5
    batch = draw_held_out(missing)
    for one, drawn in zip(missing, batch, strict=True):
        assert torch.equal(draw_held_out(one), drawn)
