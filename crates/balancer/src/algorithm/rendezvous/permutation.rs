//! Keyed permutations of 16 bits, readable from both sides, and the draws made from them.

use crate::algorithm::mix;

/// Places that are permuted.
pub(super) const PLACES: usize = 1 << 16;

/// A permutation of the places, made from a key: three rounds of multiply, add and shift-xor.
pub(super) struct Permutation {
    factors: [u16; 3],
    terms: [u16; 3],
    salt: u16,
}

impl Permutation {
    /// The permutation of a key.
    pub(super) fn of(hash: u32) -> Permutation {
        let first = mix(u64::from(hash).wrapping_add(0x9e37_79b9_7f4a_7c15));
        let second = mix(first);
        let part = |word: u64, at: u32| (word >> (16 * at)) as u16;
        Permutation {
            // Odd, else the multiplication could not be undone.
            factors: [part(first, 0) | 1, part(first, 1) | 1, part(first, 2) | 1],
            terms: [part(first, 3), part(second, 0), part(second, 1)],
            salt: part(second, 2) | 1,
        }
    }

    /// Where the permutation takes a home.
    #[inline(always)]
    pub(super) fn forward(&self, home: u16) -> u16 {
        let [a, b, c] = self.factors;
        let [d, e, f] = self.terms;
        let x = home.wrapping_mul(a).wrapping_add(d);
        let x = (x ^ x >> 8).wrapping_mul(b).wrapping_add(e);
        let x = (x ^ x >> 9).wrapping_mul(c).wrapping_add(f);
        x ^ x >> 8
    }

    /// The same with its factors turned round, for [`backward`](Permutation::backward).
    pub(super) fn inverted(&self) -> Permutation {
        let factors = self.factors.map(|factor| {
            // Newton's iteration doubles the right bits: 3 to begin with, then 6, 12, 24.
            let mut inverse = factor;
            for _ in 0..3 {
                let product = factor.wrapping_mul(inverse);
                inverse = inverse.wrapping_mul(2u16.wrapping_sub(product));
            }
            inverse
        });
        Permutation { factors, ..*self }
    }

    /// Where a place came from; only of a permutation that is [`inverted`](Permutation::inverted).
    #[inline(always)]
    pub(super) fn backward(&self, place: u16) -> u16 {
        let [a, b, c] = self.factors;
        let [d, e, f] = self.terms;
        // A shift by at least half of the bits is its own inverse.
        let x = (place ^ place >> 8).wrapping_sub(f).wrapping_mul(c);
        let x = (x ^ x >> 9).wrapping_sub(e).wrapping_mul(b);
        (x ^ x >> 8).wrapping_sub(d).wrapping_mul(a)
    }

    /// The exponential draw of a home: the place that it was taken to, made continuous by a
    /// fraction of its own.
    #[inline(always)]
    pub(super) fn draw(&self, place: u16, home: u16) -> f32 {
        let fraction = home.wrapping_mul(self.salt);
        let fraction = fraction ^ fraction >> 8;
        let position = f32::from(place) + f32::from(fraction) / PLACES as f32;
        exponential(position / PLACES as f32)
    }
}

/// -ln(1 - x) for x in 0..1, which makes an even draw an exponential one.
///
/// Within 1e-6 of the value, from additions, multiplications and one division alone: every
/// platform gives the same bits, so all nodes agree, and the compiler can do several at once.
#[inline(always)]
pub(super) fn exponential(x: f32) -> f32 {
    // 0.75, as bits: the mantissa is taken from 0.75..1.5, so that nothing cancels near 1.
    const LOW: u32 = 0x3f40_0000;
    let bits = (1.0 - x).to_bits();
    let exponent = (bits.wrapping_sub(LOW) as i32) >> 23;
    let mantissa = f32::from_bits(bits.wrapping_sub((exponent as u32) << 23));
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let t = s * s;
    let series = 2.0 * s * (1.0 + t * (1.0 / 3.0 + t * (0.2 + t * (1.0 / 7.0))));
    -(exponent as f32 * std::f32::consts::LN_2 + series)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backward_undoes_forward() {
        for hash in (0..200u32).map(|n| n.wrapping_mul(0x0123_4567)) {
            let key = Permutation::of(hash);
            let back = key.inverted();
            let mut seen = vec![false; PLACES];
            for home in 0..=u16::MAX {
                let place = key.forward(home);
                assert_eq!(back.backward(place), home);
                assert!(!std::mem::replace(&mut seen[usize::from(place)], true));
            }
        }
    }

    #[test]
    fn exponential_is_a_logarithm() {
        for n in 0..1_000_000u32 {
            let x = (f64::from(n) + 0.5) / 1e6;
            let exact = -(-f64::from(x as f32)).ln_1p();
            let ours = f64::from(exponential(x as f32));
            // 1 - x is rounded to 2^-24, which weighs most where x is small.
            let allowed = 2e-6 * exact + 1e-7;
            assert!((ours - exact).abs() <= allowed, "x {x}: {ours}, not {exact}");
        }
        assert!(exponential(0.0) == 0.0);
    }
}
