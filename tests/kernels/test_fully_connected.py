"""Kernels of fully connected networks against the recursion written pair by pair."""

import math

import mpmath
import numpy as np
import pytest
import sklearn
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import skoverparam
from skoverparam.kernels import DualPair, Erf, LeakyReLU, ReLU
from skoverparam.kernels import fully_connected_nngp as public_nngp
from skoverparam.kernels import fully_connected_ntk as public_ntk
from skoverparam.kernels._fully_connected import (
    cosine_ntk_,
    fully_connected_nngp,
    fully_connected_ntk,
)

GAIN = 1 / math.asin(2 / 3)


def quadratic_1(c):
    return (c + c**2) / 2


def quadratic_0(c):
    return 0.5 + c


ACTIVATIONS = [ReLU(), LeakyReLU(0.1), LeakyReLU(1.0), Erf(), DualPair(quadratic_1, quadratic_0)]
REAL = [ReLU(), LeakyReLU(0.1), Erf()]


def draw(*shape, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=dtype)


def scalar_duals(activation, c):
    if isinstance(activation, Erf):
        x = 2 * c / 3
        return GAIN * math.asin(x), GAIN * 2 / 3 / math.sqrt(1 - x * x)
    if isinstance(activation, DualPair):
        return quadratic_1(c), quadratic_0(c)
    slope = getattr(activation, "slope", 0.0)
    q = 2 * slope / (math.pi * (slope**2 + 1))
    t, s = math.acos(c), math.sqrt(1 - c * c)
    kappa_1 = (c * (math.pi - t) + s) / math.pi + q * (c * t - s)
    return kappa_1, 1 - t / math.pi + q * t


def scalar_kernels(activation, c, depth):
    """(NNGP, NTK) of one pair of unit vectors."""
    S = T = c
    for _ in range(depth):
        S = min(max(S, -1.0), 1.0)
        kappa_1, kappa_0 = scalar_duals(activation, S)
        S, T = kappa_1, kappa_1 + T * kappa_0
    return S, T


def scalar_raw_erf(x, z, depth):
    S = T = float(x @ z)
    p, q = float(x @ x), float(z @ z)
    for _ in range(depth):
        root = math.sqrt((1 + 2 * p) * (1 + 2 * q))
        kappa_0 = 2 * GAIN / math.sqrt((1 + 2 * p) * (1 + 2 * q) - 4 * S * S)
        S = GAIN * math.asin(2 * S / root)
        T = S + T * kappa_0
        p, q = (GAIN * math.asin(2 * v / (1 + 2 * v)) for v in (p, q))
    return S, T


def precise_relu_ntk(t, depth):
    """NTK of two unit vectors at angle t with 50 digits."""
    with mpmath.workdps(50):
        S = T = mpmath.cos(t)
        for _ in range(depth):
            t = mpmath.acos(S)
            kappa_0 = 1 - t / mpmath.pi
            S = S * kappa_0 + mpmath.sin(t) / mpmath.pi
            T = S + T * kappa_0
        return float(T)


@pytest.mark.parametrize("depth", [0, 1, 2, 5])
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda a: type(a).__name__)
@pytest.mark.parametrize("normalize", [True, False])
def test_recursion(activation, depth, normalize):
    X, Z = draw(7, 4), draw(5, 4, seed=1)
    expected = np.empty((2, 7, 5))
    for i, x in enumerate(X):
        for j, z in enumerate(Z):
            norms = float(x.norm() * z.norm())
            if isinstance(activation, Erf) and not normalize:
                expected[:, i, j] = scalar_raw_erf(x, z, depth)
            else:
                values = np.array(scalar_kernels(activation, float(x @ z) / norms, depth))
                expected[:, i, j] = values * (1 if normalize else norms)
    options = {"depth": depth, "activation": activation, "normalize": normalize}
    np.testing.assert_allclose(fully_connected_nngp(X, Z, **options), expected[0], atol=1e-12)
    np.testing.assert_allclose(fully_connected_ntk(X, Z, **options), expected[1], atol=1e-12)


def test_closed_form_of_depth_one():
    X = draw(60, 5)
    U = X / X.norm(dim=1, keepdim=True)
    c = (U @ U.T).clamp(-1, 1)
    expected = (2 * c * (math.pi - c.acos()) + (1 - c**2).sqrt()) / math.pi
    expected.fill_diagonal_(2.0)
    torch.testing.assert_close(fully_connected_ntk(X), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("activation", REAL, ids=repr)
def test_raw_equals_normalized_on_unit_rows(activation):
    X = draw(20, 6)
    X = X / X.norm(dim=1, keepdim=True)
    for kernel in (fully_connected_ntk, fully_connected_nngp):
        torch.testing.assert_close(
            kernel(X, depth=3, activation=activation, normalize=False),
            kernel(X, depth=3, activation=activation, normalize=True),
            rtol=0,
            # unit rows are unit to 2e-16, which the angle between a row and itself turns into more
            atol=1e-12,
        )


@pytest.mark.parametrize("activation", REAL, ids=repr)
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("depth", [1, 3])
def test_symmetric_and_positive_semidefinite(activation, normalize, depth):
    X = draw(150, 3)
    for kernel in (fully_connected_ntk, fully_connected_nngp):
        K = kernel(X, depth=depth, activation=activation, normalize=normalize, tile_side=32)
        assert torch.equal(K, K.T)
        eigenvalues = torch.linalg.eigvalsh(K)
        assert eigenvalues[0] > -1e-12 * eigenvalues[-1]


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda a: type(a).__name__)
@pytest.mark.parametrize("normalize", [True, False])
def test_tiles_change_nothing(activation, normalize):
    X, Z = draw(67, 5), draw(41, 5, seed=1)
    for kernel in (fully_connected_ntk, fully_connected_nngp):
        for second in (None, Z):
            options = {"depth": 3, "activation": activation, "normalize": normalize}
            whole = kernel(X, second, **options, tile_side=100)
            for side in (7, 16, 64):
                tiled = kernel(X, second, **options, tile_side=side)
                # Matrix products of other shapes differ in the last bit.
                torch.testing.assert_close(tiled, whole, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("activation", REAL, ids=repr)
@pytest.mark.parametrize("normalize", [True, False])
def test_threads_change_nothing(activation, normalize, request):
    X, Z = draw(90, 5), draw(41, 5, seed=1)
    C = torch.linspace(-1, 1, 100_000, dtype=torch.float64)
    options = {"depth": 2, "activation": activation, "normalize": normalize, "tile_side": 16}

    def compute():
        yield fully_connected_ntk(X, **options)
        yield fully_connected_ntk(X.clone().requires_grad_(), Z, **options)
        yield cosine_ntk_(C.clone(), 2, activation)

    alone = list(compute())
    request.getfixturevalue("several_threads")
    for one, several in zip(alone, compute(), strict=True):
        assert torch.equal(one, several)


@pytest.mark.usefixtures("several_threads")
def test_an_error_in_a_thread_is_raised():
    def only_the_probe(c):
        if c.numel() > 3:
            raise ZeroDivisionError("from the user's function")
        return c

    pair = DualPair(only_the_probe, only_the_probe)
    with pytest.raises(ZeroDivisionError, match="from the user's function"):
        fully_connected_ntk(draw(40, 3), activation=pair, tile_side=16)


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda a: type(a).__name__)
@pytest.mark.parametrize("normalize", [True, False])
def test_one_set_equals_two_equal_sets(activation, normalize):
    X = draw(67, 5)
    options = {"depth": 2, "activation": activation, "normalize": normalize, "tile_side": 32}
    torch.testing.assert_close(
        fully_connected_ntk(X, **options),
        fully_connected_ntk(X, X.clone(), **options),
        rtol=1e-13,
        atol=1e-13,
    )


@pytest.mark.parametrize("depth", [1, 2, 6])
def test_diagonal_is_exact(depth):
    X = draw(40, 300)
    ntk, nngp = fully_connected_ntk(X, depth=depth), fully_connected_nngp(X, X, depth=depth)
    assert torch.equal(ntk.diagonal(), torch.full((40,), depth + 1.0, dtype=torch.float64))
    assert torch.equal(nngp.diagonal(), torch.ones(40, dtype=torch.float64))


@pytest.mark.parametrize("depth", [1, 4])
@pytest.mark.parametrize("angle", [1e-12, 1e-9, 1e-7, 1e-5, 1e-3, 2e-3, 0.1, 3.0])
def test_nearly_parallel_rows_keep_their_digits(angle, depth):
    x = torch.tensor([[0.6, 0.8]], dtype=torch.float64)
    z = x + angle * torch.tensor([[-0.8, 0.6]], dtype=torch.float64) * 0.7
    with mpmath.workdps(50):
        (a, b), (c, d) = ([mpmath.mpf(v) for v in row[0].tolist()] for row in (x, z))
        true_angle = mpmath.atan2(a * d - b * c, a * c + b * d)
    for first, second in ((x, z), (z, x), (3 * x, 7 * z)):
        value = fully_connected_ntk(first, second, depth=depth).item()
        # From the cosine alone the error would be up to 1e-8.
        assert abs(value - precise_relu_ntk(true_angle, depth)) < 1e-12


def test_opposite_rows():
    x = draw(1, 50)
    assert fully_connected_ntk(x, -x).item() == pytest.approx(0, abs=1e-15)
    assert fully_connected_nngp(x, -3 * x).item() == pytest.approx(0, abs=1e-15)
    assert fully_connected_ntk(x, -x, activation=LeakyReLU(1.0), depth=2).item() == -3


def test_many_equal_rows():
    X = draw(3, 7).repeat(200, 1)
    K = fully_connected_ntk(X, depth=2, tile_side=64)
    small = fully_connected_ntk(X[:3], depth=2)
    torch.testing.assert_close(K, small.repeat(200, 200), rtol=0, atol=1e-12)


@pytest.mark.parametrize("activation", REAL, ids=repr)
@pytest.mark.parametrize("normalize", [True, False])
def test_zero_rows(activation, normalize):
    X = draw(6, 3)
    X[[1, 4]] = 0
    K = fully_connected_ntk(X, depth=2, activation=activation, normalize=normalize)
    expected = scalar_kernels(activation, 0.0, 2)[1] if normalize else 0.0
    np.testing.assert_allclose(K[[1, 4]], expected, atol=1e-15)
    assert K.isfinite().all()
    assert torch.linalg.eigvalsh(K)[0] > -1e-12


def test_extreme_scales_do_not_over_or_underflow():
    X = draw(8, 3)
    expected = fully_connected_ntk(X)
    for scale in (1e-300, 1e300):
        torch.testing.assert_close(fully_connected_ntk(scale * X), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda a: type(a).__name__)
@pytest.mark.parametrize("normalize", [True, False])
def test_float32(activation, normalize):
    X, Z = draw(80, 10), draw(30, 10, seed=1)
    Z[:5] = X[:5] * (1 + 1e-4)
    for second in (None, Z.float()):
        options = {"depth": 3, "activation": activation, "normalize": normalize}
        K = fully_connected_ntk(X.float(), second, **options)
        assert K.dtype == torch.float32
        second = None if second is None else second.double()
        exact = fully_connected_ntk(X.float().double(), second, **options)
        torch.testing.assert_close(K.double(), exact, rtol=1e-5, atol=1e-5)


def test_inputs_are_not_changed():
    X = draw(10, 3)
    before = X.clone()
    fully_connected_ntk(X, X)
    fully_connected_ntk(X, normalize=False)
    assert torch.equal(X, before)


def test_transposed_and_differentiable_inputs():
    X = draw(3, 10)
    expected = fully_connected_ntk(X.T.contiguous())
    torch.testing.assert_close(fully_connected_ntk(X.T), expected, rtol=0, atol=1e-14)
    K = fully_connected_ntk(X.T.contiguous().requires_grad_())
    assert not K.requires_grad
    assert torch.equal(K, expected)


@pytest.mark.parametrize("shapes", [((0, 3), None), ((0, 3), (4, 3)), ((4, 3), (0, 3))])
def test_no_rows(shapes):
    X, Z = (None if shape is None else torch.ones(shape, dtype=torch.float64) for shape in shapes)
    rows = (len(X), len(X if Z is None else Z))
    assert fully_connected_ntk(X, Z).shape == rows


def test_no_features():
    K = fully_connected_ntk(torch.ones(2, 0, dtype=torch.float64))
    torch.testing.assert_close(K, torch.full_like(K, scalar_kernels(ReLU(), 0.0, 1)[1]))


class LargeStorages(TorchDispatchMode):
    """Remember every memory block of at least a given size that torch returns."""

    def __init__(self, n_bytes):
        super().__init__()
        self.n_bytes, self.found = n_bytes, set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage().nbytes() >= (
                self.n_bytes
            ):
                self.found.add(tensor.untyped_storage().data_ptr())
        return out


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("activation", REAL, ids=repr)
def test_the_result_is_the_only_large_allocation(activation, normalize):
    X = draw(640, 8)
    with LargeStorages(n_bytes=640 * 640 * 8 // 4) as large:
        K = fully_connected_ntk(
            X, depth=3, activation=activation, normalize=normalize, tile_side=64
        )
    assert large.found == {K.data_ptr()}


# -- in place on cosines ------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda a: type(a).__name__)
@pytest.mark.parametrize("depth", [0, 1, 3])
def test_cosines_in_place(activation, depth):
    cosines = torch.linspace(-1, 1, 42, dtype=torch.float64).view(3, 2, 7)
    expected = np.array([scalar_kernels(activation, float(c), depth) for c in cosines.flatten()])
    C = cosines.clone()
    assert cosine_ntk_(C, depth, activation) is C
    # acos in the reference loses digits at the last point but one of a later layer
    np.testing.assert_allclose(C.flatten(), expected[:, 1], atol=1e-12)


def test_cosines_beyond_one_by_rounding():
    C = torch.tensor([1 + 2e-16, 1.0, -1.0, -1 - 2e-16], dtype=torch.float64)
    C[0] = math.nextafter(1.0, 2.0)
    C[3] = math.nextafter(-1.0, -2.0)
    assert cosine_ntk_(C, 3, "relu").tolist()[:2] == [4.0, 4.0]
    assert C[2] == C[3]
    assert C.isfinite().all()


def test_cosines_in_a_view():
    base = torch.linspace(-1, 1, 60, dtype=torch.float64).view(6, 10)
    expected = cosine_ntk_(base.clone(), 2, "leaky_relu")
    transposed, strided = base.T.contiguous().T, base.clone()[:, ::2]
    assert torch.equal(cosine_ntk_(transposed, 2, "leaky_relu"), expected)
    assert torch.equal(cosine_ntk_(strided, 2, "leaky_relu"), expected[:, ::2])


def test_cosines_larger_than_a_chunk():
    C = torch.linspace(-1, 1, 400_001, dtype=torch.float64)
    expected = cosine_ntk_(C[::1000].clone(), 2, "relu")
    # Vector and scalar code of one elementary function may differ in the last bit.
    torch.testing.assert_close(cosine_ntk_(C, 2, "relu")[::1000], expected, rtol=0, atol=1e-14)


# -- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        ({"depth": -1}, ValueError, "depth, .*, must be at least 0, got -1"),
        ({"depth": 1.5}, TypeError, "depth, .*, must be an integer, got 1.5"),
        ({"depth": True}, TypeError, "depth, .*, must be an integer, got True"),
        ({"activation": "gelu"}, ValueError, "activation must be one of .*'erf'.*got 'gelu'"),
        ({"X": torch.ones(3)}, ValueError, r"X must have two axes .* got shape \(3,\)"),
        ({"Z": torch.ones(2, 2, 2)}, ValueError, "Z must have two axes"),
        ({"Z": torch.ones(2, 5)}, ValueError, "same number of features, got 4 and 5"),
        ({"Z": torch.ones(2, 4).double()}, TypeError, "same dtype and device, got torch.float32"),
        ({"X": torch.ones(2, 4).half()}, TypeError, "X must have dtype float32 or float64"),
        ({"X": [[1.0]]}, TypeError, "X must be a tensor, got list"),
    ],
)
def test_errors(change, error, sentence):
    for function in (fully_connected_ntk, fully_connected_nngp):
        with pytest.raises(error, match=sentence):
            function(**({"X": torch.ones(3, 4)} | change))


def test_errors_of_cosines():
    with pytest.raises(TypeError, match="C must have dtype float32 or float64, got torch.int64"):
        cosine_ntk_(torch.ones(3, dtype=torch.int64), 1, "relu")
    with pytest.raises(ValueError, match="must be at least 0"):
        cosine_ntk_(torch.ones(3), -2, "relu")


# -- public functions ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("public", "private"),
    [(public_ntk, fully_connected_ntk), (public_nngp, fully_connected_nngp)],
)
def test_arrays_in_arrays_out(public, private):
    X, Z = draw(6, 3), draw(4, 3, seed=1)
    options = {"depth": 2, "activation": "leaky_relu", "normalize": False}
    expected = private(X, Z, **options)
    K = public(X.numpy(), Z.numpy(), **options)
    assert isinstance(K, np.ndarray)
    np.testing.assert_allclose(K, expected, atol=1e-14)
    assert torch.equal(public(X, Z, **options), expected)
    assert public(X.numpy().astype(np.float32)).dtype == np.float32
    assert public([[1, 0], [0, 1]]).dtype == np.float64


def test_precisions_are_promoted():
    X, Z = np.eye(3, dtype=np.float32), np.eye(3, dtype=np.int64)
    assert public_ntk(X, Z).dtype == np.float64
    np.testing.assert_array_equal(np.diag(public_ntk(X, Z)), 2.0)


def test_array_api_strict(monkeypatch):
    xp = pytest.importorskip("array_api_strict")
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")  # scikit-learn asks for it, scipy is not used here

    X = draw(5, 3).numpy()
    with sklearn.config_context(array_api_dispatch=True):
        K = public_ntk(xp.asarray(X))
        assert K.__array_namespace__().__name__ == "array_api_strict"
        np.testing.assert_array_equal(np.asarray(K), public_ntk(X))


def test_not_finite():
    X = np.ones((3, 2))
    X[1, 1] = np.nan
    with pytest.raises(ValueError, match="X must hold finite numbers"):
        public_ntk(X)


def test_memory_budget():
    X = np.ones((1000, 2))
    with (
        skoverparam.config_context(memory_budget=1e6),
        pytest.raises(
            MemoryError, match=r"A kernel of 1000 x 1000 pairs needs about .* GiB.*fewer rows of X"
        ),
    ):
        public_ntk(X)
    with skoverparam.config_context(memory_budget=2e7):
        assert public_nngp(X).shape == (1000, 1000)


# -- device -------------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda a: type(a).__name__)
@pytest.mark.parametrize("normalize", [True, False])
def test_cuda_equals_cpu(activation, normalize):
    X, Z = draw(300, 8), draw(200, 8, seed=1)
    for second in (None, Z):
        options = {"depth": 3, "activation": activation, "normalize": normalize}
        cpu = fully_connected_ntk(X, second, **options)
        cuda = fully_connected_ntk(X.cuda(), None if second is None else second.cuda(), **options)
        assert cuda.device.type == "cuda"
        torch.testing.assert_close(cuda.cpu(), cpu, rtol=1e-12, atol=1e-12)
    cosines = torch.linspace(-1, 1, 101, dtype=torch.float64)
    torch.testing.assert_close(
        cosine_ntk_(cosines.cuda(), 2, activation).cpu(),
        cosine_ntk_(cosines, 2, activation),
        rtol=1e-12,
        atol=1e-12,
    )
