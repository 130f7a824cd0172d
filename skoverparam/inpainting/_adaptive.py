"""Completing images with a prior adapted to the image itself, pass by pass.

A wide convolutional network with a fixed prior knows only how far two pixels are apart. Here the
coordinates of the completion problem, the pixels, are described by the picture: the current
completion of the surroundings of a pixel is its feature, and the kernel between two pixels is a
kernel of their displacement times a kernel of their features. Every missing pixel is predicted
by exact kernel regression on a neighborhood, all are replaced at once, and the features are taken
anew from the better picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from skoverparam.inpainting._kriging import DisplacementKernel, kriging_weights
from skoverparam.inpainting._neighbors import Block, blocks, most_similar
from skoverparam.inpainting._patches import Patches, distances, patches
from skoverparam.inpainting._rings import holes, rings, smooth_filling
from skoverparam.kernels._activations import ReLU
from skoverparam.linalg._threads import on_threads

# The feature kernel goes to zero for unlike pixels; the displacement kernel is kept away from
# zero by this share of a constant, so that far but similar pixels count.
_CONSTANT = 0.9
_RING_WIDTH = 2
# Memory for one block of pixels, and for features laid out: on CPUs and on GPUs.
_SCRATCH_BYTES = (2**25, 2**30)
_LEAST_BLOCK = 128
_FEATURE_BYTES = (2**27, 2**33)
# The last passes look at the surroundings on one side mainly, each at another, and are averaged.
_SIDES = ((-1, 0), (1, 0), (0, -1), (0, 1))


class AdaptiveSettings(NamedTuple):
    """What may be chosen about the image-adaptive prior.

    Attributes
    ----------
    n_neighbors : int
        Nearest observed pixels that predict a missing one.

    n_similar : int
        Observed pixels with the most similar surroundings, besides the nearest.

    n_candidates : int
        Observed pixels around a tile among which the similar ones are looked for.

    n_start : int
        Nearest observed pixels that predict a missing one before there are features.

    patch_size : int
        Side of the square of pixels that describes its center, odd.

    patch_deviation : float
        Standard deviation of the Gaussian weights in a patch, in pixels.

    bandwidth : float
        Width h of the feature kernel, in units of the range of the observed values.

    nugget : float
        Variance of what a pixel does not share with its neighbors, relative to the kernel.

    missing_weight : float or None
        Weight in a patch of positions that are missing themselves, relative to observed ones;
        None lets it follow the share of missing pixels.

    n_passes : int or None
        Number of passes; None lets it follow the share of missing pixels. Of five and more the
        last four look at one side of each pixel mainly, and are averaged with the one before.

    feature_kernel : {"gaussian", "ntk"}
        exp(-|f - f'|^2 / (2 h^2)), or the tangent kernel of a wide network with one hidden
        layer of the features and a constant, 1.5 h, which makes it about as wide.

    dtype : torch.dtype
        Precision of the computation.
    """

    n_neighbors: int = 12
    n_similar: int = 20
    n_candidates: int = 384
    n_start: int = 24
    patch_size: int = 7
    patch_deviation: float = 2.0
    bandwidth: float = 0.17
    nugget: float = 1e-2
    missing_weight: float | None = None
    n_passes: int | None = None
    feature_kernel: Literal["gaussian", "ntk"] = "gaussian"
    dtype: torch.dtype = torch.float32

    def schedule(self, missing: float) -> tuple[float, int]:
        """Return `missing_weight` and `n_passes` for an image with this share missing."""
        # Measured at a half and at four fifths; constant outside.
        scarce = min(max((missing - 0.5) / 0.3, 0.0), 1.0)
        return (
            0.3 - 0.1 * scarce if self.missing_weight is None else self.missing_weight,
            round(6 + 4 * scarce) if self.n_passes is None else self.n_passes,
        )

    def describe(
        self, x: Tensor, confidence: Tensor, side: tuple[int, int] | None = None
    ) -> Patches:
        """Return the features of an image, seen from the center or from one side."""
        if side is None:
            return patches(x, confidence, self.patch_size, self.patch_deviation)
        step = self.patch_size // 3
        shift = (step * side[0], step * side[1])
        return patches(x, confidence, self.patch_size, 0.75 * self.patch_deviation, shift)


ADAPTIVE = AdaptiveSettings()

IN_RINGS = AdaptiveSettings(
    n_neighbors=16,
    n_similar=16,
    n_candidates=1500,
    patch_size=17,
    patch_deviation=5.0,
    bandwidth=0.15,
)


def complete(
    images: Tensor,
    missing: Tensor,
    displacement: Tensor,
    far: float,
    settings: AdaptiveSettings = ADAPTIVE,
    in_rings: AdaptiveSettings = IN_RINGS,
    guide: Tensor | None = None,
) -> Iterator[Tensor]:
    """Complete images with an adaptive prior: the start, then the completion after each pass.

    Parameters
    ----------
    images : Tensor of shape (n, c, h, w)
        Values; those of missing pixels are not looked at.

    missing : Tensor of bool, shape (n, h, w)
        Pixels to complete, in all channels. Every image has at least one observed pixel.

    displacement : Tensor of shape (2 r + 1, 2 r + 1)
        Kernel between pixels by their displacement, one at displacement zero.

    far : float
        The kernel at all larger displacements.

    settings : AdaptiveSettings, optional
        Sizes and widths for scattered missing pixels.

    in_rings : AdaptiveSettings, optional
        Sizes and widths for large holes, which are filled ring by ring, one pass each.

    guide : Tensor of shape (n, g, h, w), optional
        Images without missing pixels that supply the features instead of the completion; then
        there is one pass.

    Yields
    ------
    Tensor of shape (n, c, h, w)
        Completions after the start, each pass and each ring of a hole, observed values
        untouched. The last one is the result; images that are done earlier than others stay as
        they are.

    Notes
    -----
    With f_i the patch of the current completion around pixel i without its center, m_i Gaussian
    weights times the confidence in the pixels of that patch, normalized, and T the displacement
    kernel, missing pixel i is predicted from its neighbors j, l with the kernel

        K_jl = (T(j - l) + 9) / 10 exp(-sum_k m_ik (f_jk - f_lk)^2 / (2 h^2))

    by regression with a free constant mean. The weights are the target's in the whole system,
    which keeps K positive semidefinite. Every choice is made for each image by itself: an image
    alone is completed exactly as in a batch.

    Time is linear in the number of missing pixels: for each about
    n_candidates c patch_size^2 + m^2 c patch_size^2 + m^3 / 3 with m neighbors.
    """
    runs = [
        _complete_one(
            images[i],
            missing[i],
            DisplacementKernel(displacement.to(images.device, settings.dtype), far),
            settings,
            in_rings,
            None if guide is None else guide[i],
        )
        for i in range(len(images))
    ]
    current = images.clone()
    for steps in in_lockstep(runs):
        for i, step in enumerate(steps):
            if step is not None:
                current[i] = torch.where(missing[i], step.to(images.dtype), images[i])
        yield current.clone()


def in_lockstep(runs: list[Iterator[Tensor]]) -> Iterator[list[Tensor | None]]:
    """Yield the next step of every run, None of those that have ended, until all have."""
    while True:
        steps = [next(run, None) for run in runs]
        if all(step is None for step in steps):
            return
        yield steps


def _complete_one(
    image: Tensor,
    missing: Tensor,
    T: DisplacementKernel,
    settings: AdaptiveSettings,
    in_rings: AdaptiveSettings,
    guide: Tensor | None,
) -> Iterator[Tensor]:
    """Yield the start and the passes of one image, in its own units."""
    observed = ~missing
    hole = holes(missing)
    scattered = missing & ~hole
    scale = Scale.of(image, observed, settings.dtype)
    guided = None
    if guide is not None:
        everywhere = torch.ones_like(observed)
        g = Scale.of(guide, everywhere, settings.dtype).into(guide)
        guided = settings.describe(g, everywhere.to(settings.dtype))
        hole, scattered = torch.zeros_like(hole), missing
    weight, n_passes = settings.schedule(_scattered_share(scattered, hole))
    neighborhoods = Neighborhoods.of(observed, scattered, len(image), settings)
    x = start(image, observed, hole, scale, neighborhoods, T, settings)
    yield scale.back(x)
    if guided is not None:
        yield scale.back(
            neighborhoods.predict(x, scale, T, guided.copied(_FEATURE_BYTES[x.is_cuda]), settings)
        )
        return
    # Before its turn a hole tells nothing.
    confidence = observed.to(x.dtype).masked_fill_(scattered, weight)
    n_sided = len(_SIDES) if n_passes > len(_SIDES) else 0
    for n in range(n_passes if neighborhoods.parts else 0):
        side = n - (n_passes - n_sided)
        features = settings.describe(x, confidence, _SIDES[side] if side >= 0 else None)
        predicted = neighborhoods.predict(
            x, scale, T, features.copied(_FEATURE_BYTES[x.is_cuda]), settings
        )
        # From one side alone a pixel is described worse, but errors are not the same errors.
        x = predicted if side < 0 else x + (predicted - x) / (side + 2)
        yield scale.back(x)
    known = ~hole
    for ring in rings(hole, known, _RING_WIDTH):
        # What the hole still holds has no weight, so that one pass says it all.
        features = in_rings.describe(x, known.to(x.dtype))
        neighborhoods = Neighborhoods.of(known, ring, len(image), in_rings)
        x = neighborhoods.predict(x, scale, T, features, in_rings)
        known = known | ring
        yield scale.back(x)


def start(
    image: Tensor,
    observed: Tensor,
    hole: Tensor,
    scale: Scale,
    neighborhoods: Neighborhoods,
    T: DisplacementKernel,
    settings: AdaptiveSettings,
) -> Tensor:
    """Complete an image by displacements alone, holes smoothly, in units of the scale."""
    x = torch.where(observed, scale.into(image), 0)
    return smooth_filling(neighborhoods.predict(x, scale, T, None, settings), ~hole)


class Scale(NamedTuple):
    """Units in which every channel has mean zero and the widest one has range one."""

    mean: Tensor
    extent: Tensor
    least: Tensor
    greatest: Tensor
    dtype: torch.dtype

    @classmethod
    def of(cls, image: Tensor, observed: Tensor, dtype: torch.dtype) -> Scale:
        """Find the units of an image from its observed pixels."""
        # In double precision: units may be anything, and means of integers are not integers.
        values = image[:, observed].double()
        least, greatest = values.amin(1), values.amax(1)
        # The mean of equal values may be rounded to another one.
        mean = values.mean(1).clamp(least, greatest)
        extent = (greatest - least).amax()
        extent = torch.where(extent > 0, extent, 1)
        least, greatest = (((end - mean) / extent).to(dtype) for end in (least, greatest))
        return cls(mean[:, None, None], extent, least, greatest, dtype)

    def into(self, image: Tensor) -> Tensor:
        """Bring values into these units."""
        return ((image.double() - self.mean) / self.extent).to(self.dtype)

    def back(self, x: Tensor) -> Tensor:
        """Bring values back into those of the image, in float64."""
        return x.double() * self.extent + self.mean


class Neighborhoods(NamedTuple):
    """Blocks of missing pixels with their candidates, kept from pass to pass."""

    parts: list[Block]

    @classmethod
    def of(
        cls, known: Tensor, targets: Tensor, n_channels: int, settings: AdaptiveSettings
    ) -> Neighborhoods:
        """Find what the target pixels are predicted from among the known ones."""
        m = 1 + settings.n_neighbors + settings.n_similar
        n_features = n_channels * settings.patch_size**2
        # Three kernels, the features of a neighborhood twice, and the distances of candidates.
        entries = 3 * m * m + 2 * m * n_features + 2 * settings.n_candidates
        n_bytes = settings.dtype.itemsize * entries
        most = _SCRATCH_BYTES[known.is_cuda] // n_bytes
        if not known.is_cuda:
            # Some work for every thread, but the same pieces however many there are.
            most = min(most, max(_LEAST_BLOCK, int(targets.sum()) // 8))
        return cls(
            blocks(
                known,
                targets,
                n_candidates=settings.n_candidates,
                n_nearest=max(settings.n_neighbors, settings.n_start),
                pixels_per_block=most,
            )
        )

    def predict(
        self,
        x: Tensor,
        scale: Scale,
        T: DisplacementKernel,
        features: Patches | None,
        settings: AdaptiveSettings,
    ) -> Tensor:
        """Return x with all targets replaced by their predictions."""
        c, _, w = x.shape
        values = x.flatten(1).T.contiguous()
        predicted = values.clone()

        def predict_block(block: Block) -> None:
            targets = block.targets[block.valid]
            if features is None:
                neighbors = block.pixels(block.nearest[..., : settings.n_start])
            else:
                similarity = distances(features, block.targets, block.candidates)
                nearest = block.nearest[..., : settings.n_neighbors]
                neighbors = block.pixels(most_similar(similarity, nearest, settings.n_similar))
            both = torch.cat([neighbors, targets[:, None]], 1)
            K = T(both, w)
            if features is not None:
                K = _adapted(K, features, targets, both, settings)
            v = kriging_weights(K[:, :-1, :-1].contiguous(), K[:, :-1, -1], settings.nugget)
            own = values.index_select(0, neighbors.flatten()).view(*neighbors.shape, c)
            prediction = torch.bmm(v[:, None], own)[:, 0]
            predicted[targets] = prediction.clamp(scale.least, scale.greatest)

        on_threads(predict_block, self.parts, x.device)
        return predicted.T.reshape(x.shape)


def adapted_kernel(
    image: Tensor,
    missing: Tensor,
    displacement: Tensor,
    far: float,
    target: int,
    pixels: Tensor,
    settings: AdaptiveSettings = ADAPTIVE,
    guide: Tensor | None = None,
) -> Tensor:
    """Return the kernel of one pixel with others that one more pass would use.

    Parameters
    ----------
    image : Tensor of shape (c, h, w)
        A completion.

    missing : Tensor of bool, shape (h, w)
        Pixels that were completed.

    displacement, far
        As in `complete`.

    target : int
        The pixel, numbered row by row; its surroundings weigh the features.

    pixels : Tensor of int64, shape (m,)
        The others.

    settings : AdaptiveSettings, optional
        Sizes and widths.

    guide : Tensor of shape (g, h, w), optional
        What supplies the features instead.

    Returns
    -------
    Tensor of shape (m,)
        One at the pixel itself.
    """
    hole = holes(missing)
    weight, _ = settings.schedule(_scattered_share(missing & ~hole, hole))
    source = image if guide is None else guide
    known = ~missing if guide is None else torch.ones_like(missing)
    x = Scale.of(source, known, settings.dtype).into(source)
    confidence = known.to(x.dtype).masked_fill_(~known, weight)
    features = settings.describe(x, confidence)
    targets = torch.full_like(pixels, target)
    both = torch.stack([pixels, targets], 1)
    T = DisplacementKernel(displacement.to(image.device, settings.dtype), far)
    K = _adapted(T(both, image.shape[-1]), features, targets, both, settings)
    return K[:, 0, 1]


def _scattered_share(scattered: Tensor, hole: Tensor) -> float:
    """Return the share of missing pixels outside the holes."""
    return float((scattered.sum() / (~hole).sum().clamp_min(1)).item())


def _adapted(
    T: Tensor, features: Patches, targets: Tensor, pixels: Tensor, settings: AdaptiveSettings
) -> Tensor:
    """Return (T + 9) / 10 times the kernel of the features, in the place of T."""
    T.add_(_CONSTANT / (1 - _CONSTANT)).mul_(1 - _CONSTANT)
    return T.mul_(_feature_kernel(features, targets, pixels, settings))


def _feature_kernel(
    features: Patches, targets: Tensor, pixels: Tensor, settings: AdaptiveSettings
) -> Tensor:
    """Return the kernel (b, m, m) between the features of pixels (b, m), weighted as targets'."""
    f = features.values_of(pixels).mul_(features.weights_of(targets).sqrt_()[:, None])
    if settings.feature_kernel == "ntk":
        return _network_kernel(f - f[:, -1:], 1.5 * settings.bandwidth)
    G = torch.bmm(f, f.transpose(1, 2))
    squared = G.diagonal(dim1=1, dim2=2).clone()
    scale = -1 / (2 * settings.bandwidth**2)
    return G.mul_(-2).add_(squared[:, :, None]).add_(squared[:, None]).mul_(scale).exp_()


def _network_kernel(f: Tensor, constant: float) -> Tensor:
    """Return the tangent kernel of a wide network with one hidden layer on unit vectors.

    The unit vectors are those of the features with a constant appended; as features are taken
    relative to the target's, brightness as such has no influence.
    """
    unit = torch.nn.functional.normalize(torch.nn.functional.pad(f, (0, 1), value=constant), dim=2)
    cosine = torch.bmm(unit, unit.transpose(1, 2))
    relu = ReLU()
    K = relu.kappa_0(cosine).mul_(cosine).add_(relu.kappa_1(cosine)).mul_(0.5)
    K.diagonal(dim1=1, dim2=2).fill_(1)
    return K
