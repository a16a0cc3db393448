//! Remainders by a number that stays the same, without a division.

/// A divisor with its reciprocal: a remainder costs two multiplications instead of a division of
/// 64 bits, which takes as long as the rest of a pick.
#[derive(Clone, Copy, Debug)]
pub(super) struct Divisor {
    value: u64,
    reciprocal: u64,
}

impl Divisor {
    /// Remainders by `value`; by 0 they are 0.
    pub(super) fn new(value: u64) -> Divisor {
        // floor(2^64 / value), but for 1, where it would not fit and nothing remains anyway.
        let reciprocal = if value <= 1 { 0 } else { ((1u128 << 64) / u128::from(value)) as u64 };
        Divisor { value, reciprocal }
    }

    /// The divisor.
    pub(super) fn get(self) -> u64 {
        self.value
    }

    /// `number % self`.
    pub(super) fn remainder(self, number: u64) -> u64 {
        if self.value <= 1 {
            return 0;
        }
        let quotient = ((u128::from(number) * u128::from(self.reciprocal)) >> 64) as u64;
        // The reciprocal is rounded down, so the quotient is right or one too low.
        let rest = number - quotient * self.value;
        if rest >= self.value { rest - self.value } else { rest }
    }
}

/// A step on a circle of places: where any number of steps leads to costs a few multiplications, of which two at most
/// wait for each other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// The part of the circle that a step is, in units of 2^-128, rounded up.
    part: u128,
    places: u64,
}

impl Step {
    /// Steps of `step` places on a circle of `places`, fewer than 2^33; on one without places all lead to 0.
    pub(super) fn new(step: u64, places: u64) -> Step {
        let Some(step) = step.checked_rem(places).filter(|step| *step > 0) else {
            return Step { part: 0, places };
        };
        // step * 2^128 / places, by hand.
        let (step, by) = (u128::from(step) << 64, u128::from(places));
        let part = ((step / by) << 64) + ((step % by) << 64) / by;
        Step { part: part + 1, places }
    }

    /// `number * step % places`.
    pub(super) fn times(self, number: u64) -> u64 {
        // What is behind the point of `number * part` is how far around the circle it leads. Rounding adds less than
        // 2^64 * 2^-128 to it, which is less than a place.
        let around = self.part.wrapping_mul(u128::from(number));
        let places = u128::from(self.places);
        let low = (u128::from(around as u64) * places) >> 64;
        (((around >> 64) * places + low) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn steps_agree_with_division(
            number: u64,
            step in prop_oneof![any::<u64>(), 0u64..5_000],
            places in prop_oneof![0u64..1 << 33, 0u64..5_000],
            rounds in 0u64..5_000,
        ) {
            let steps = Step::new(step, places);
            for number in [number, rounds * places, u64::MAX - rounds] {
                let exact = u128::from(number) * u128::from(step);
                let exact = exact.checked_rem(places.into()).unwrap_or_default();
                prop_assert_eq!(u128::from(steps.times(number)), exact);
            }
        }

        #[test]
        fn agrees_with_division(number: u64, value in 1u64.., near in 0u64..3) {
            let divisor = Divisor::new(value);
            prop_assert_eq!(divisor.remainder(number), number % value);
            let multiple = (number / value * value).saturating_sub(near);
            prop_assert_eq!(divisor.remainder(multiple), multiple % value);
        }

        #[test]
        fn agrees_for_small_divisors(number: u64, value in 1u64..5_000) {
            prop_assert_eq!(Divisor::new(value).remainder(number), number % value);
        }
    }
}
