//! Remainders by a number that stays the same.

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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
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
