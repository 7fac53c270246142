import math

import numpy as np
import pytest
import vector
from hypothesis import given
from hypothesis import strategies as st

from HiggsML.physics.four_vector import V4
from HiggsML.physics.kinematics import Vector, azimuth

ANGLE = st.floats(-np.pi, np.pi)
COMPONENT = st.floats(-1e4, 1e4).map(lambda value: round(value, 3))


def make_v4(pt, eta, phi, mass):
    result = V4()
    result.setPtEtaPhiM(pt, eta, phi, mass)
    return result


@st.composite
def four_momenta(draw):
    """A V4 with a transverse momentum of at least 1 GeV, and the same from the library vector."""
    pt, eta, phi = draw(st.floats(1, 1e3)), draw(st.floats(-4.5, 4.5)), draw(ANGLE)
    mass = draw(st.floats(0, 200))
    return make_v4(pt, eta, phi, mass), vector.obj(pt=pt, eta=eta, phi=phi, mass=mass)


@given(four_momenta())
def test_v4_agrees_with_the_library_vector(pair):
    ours, oracle = pair
    assert ours.pt() == pytest.approx(oracle.pt, rel=1e-9)
    assert ours.eta() == pytest.approx(oracle.eta, rel=1e-9, abs=1e-9)
    assert math.remainder(ours.phi() - oracle.phi, 2 * math.pi) == pytest.approx(0, abs=1e-9)
    assert ours.e == pytest.approx(oracle.E, rel=1e-9)
    assert ours.p() == pytest.approx(oracle.p, rel=1e-9)
    assert ours.p2() == pytest.approx(oracle.p2, rel=1e-9)
    # m^2 is a difference of squares of the energy: that is its accuracy.
    assert ours.m() ** 2 == pytest.approx(oracle.mass**2, abs=1e-12 * ours.e**2)


@given(four_momenta(), four_momenta())
def test_differences_and_sums_agree_with_the_library_vector(first, second):
    (a, oracle_a), (b, oracle_b) = first, second
    assert math.remainder(
        a.deltaPhi(b) - oracle_a.deltaphi(oracle_b), 2 * math.pi
    ) == pytest.approx(0, abs=1e-9)
    assert a.deltaEta(b) == pytest.approx(oracle_a.deltaeta(oracle_b), abs=1e-9)
    assert a.deltaR(b) == pytest.approx(oracle_a.deltaR(oracle_b), abs=1e-8)
    total, oracle = a + b, oracle_a + oracle_b
    scale = a.e + b.e
    for ours, theirs in zip(
        (total.px, total.py, total.pz, total.e),
        (oracle.px, oracle.py, oracle.pz, oracle.E),
        strict=True,
    ):
        assert ours == pytest.approx(theirs, abs=1e-11 * scale)


@given(four_momenta(), st.floats(-3, 3))
def test_scaling(pair, factor):
    original, _ = pair
    scaled, fixed = original.copy(), original.copy()
    scaled.scale(factor)
    fixed.scaleFixedM(factor)
    for vector4 in (scaled, fixed):
        assert (vector4.px, vector4.py, vector4.pz) == (
            original.px * factor,
            original.py * factor,
            original.pz * factor,
        )
    assert scaled.e == pytest.approx(abs(factor) * original.e)
    assert fixed.m() ** 2 == pytest.approx(
        original.m() ** 2, abs=1e-9 * (original.e + fixed.e) ** 2
    )


def test_defaults_are_the_zero_vector():
    zero = V4()
    assert (zero.px, zero.py, zero.pz, zero.e, zero.m(), zero.eWithM()) == (0, 0, 0, 0, 0, 0)
    zero.setPtEtaPhiM()
    assert zero.p() == 0


@pytest.mark.parametrize(
    "components", [(3, 4, 0, 4.9), (np.array([0, 3.0]), np.array([0, 4.0]), 0, np.array([0, 4.9]))]
)
def test_too_little_energy_is_refused(components):
    with pytest.raises(ValueError, match=r"energy of at least its momentum: e = .*4\.9.*p = .*5"):
        V4(*components)


def test_rounding_may_take_a_little_energy():
    assert V4(3, 4, 0, 4.9995).p() == 5


def test_copy_and_sum_do_not_share_arrays():
    a = make_v4(np.array([10.0, 20.0]), 0.5, 1.0, 0.1)
    before = [np.copy(component) for component in (a.px, a.py, a.pz, a.e)]
    copy, total = a.copy(), a + a
    copy.px[:] = 0
    copy.scale(3.0)
    total.sum(a)
    for component, old in zip((a.px, a.py, a.pz, a.e), before, strict=True):
        np.testing.assert_array_equal(component, old)
    np.testing.assert_allclose(total.px, 3 * a.px)


def test_adding_in_place_leaves_the_arrays_it_was_made_from():
    px = np.array([1.0, 2.0])
    px.flags.writeable = False
    a = V4(px, 0.0, 0.0, np.array([2.0, 3.0]))
    a += V4(1.0, 0.0, 0.0, 1.0)
    a.scale(2.0)
    np.testing.assert_array_equal(a.px, [4.0, 6.0])
    np.testing.assert_array_equal(px, [1.0, 2.0])


def test_adding_something_else_is_a_type_error():
    vector4 = V4()
    with pytest.raises(TypeError):
        vector4 + 1
    with pytest.raises(TypeError):
        vector4 += 1


def test_text_shows_both_forms():
    assert str(V4(3.0, 4.0, 0.0, 5.0)) == (
        f"V4(px=3.0, py=4.0, pz=0.0, e=5.0; pt={np.float64(5.0)}, eta={np.float64(0.0)}, "
        f"phi={np.arctan2(4.0, 3.0)}, m={np.float64(0.0)})"
    )


def azimuth_of(x, y):
    return azimuth(Vector(x, y), np.hypot(x, y))


COMPONENTS = st.floats(-1e6, 1e6, width=32, allow_subnormal=False)


@given(st.lists(st.tuples(COMPONENTS, COMPONENTS), min_size=1))
def test_azimuth_is_the_angle_of_the_vector(vectors):
    x, y = np.array(vectors, dtype=np.float32).T
    exact = np.arctan2(y.astype(np.float64), x.astype(np.float64))
    assert np.abs(azimuth_of(x, y) - exact).max() < 5e-7
    wide = azimuth_of(x.astype(np.float64), y.astype(np.float64))
    np.testing.assert_array_equal(wide, exact)


def test_azimuth_on_the_axes():
    x = np.array([0, 3, 0, -3, 0, -3, -0.0, 1e-30], dtype=np.float32)
    y = np.array([0, 0, 3, 0, -3, -0.0, -0.0, 1e-30], dtype=np.float32)
    np.testing.assert_allclose(azimuth_of(x, y), np.arctan2(y, x), rtol=2e-7)


def test_golden_values_of_every_method(make_golden, golden):
    for name, ours in make_golden.vector_values().items():
        np.testing.assert_allclose(ours, golden[name], rtol=1e-12, atol=1e-9, err_msg=name)
