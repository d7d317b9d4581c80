//! Shamir's secret sharing over GF(2^8), as sops splits a data key over several key groups.
//!
//! Every byte of the secret is the value at 0 of a random polynomial of degree threshold - 1; part n has the values at n, and n itself as
//! its last byte (<https://github.com/getsops/sops/blob/v3.11.0/shamir/shamir.go>, which is HashiCorp Vault's). The field is that of AES.
//! No branch and no table look-up depends on a secret byte.
use super::DataKey;
use zeroize::Zeroizing;

/// A part is longer than the secret by its number.
pub(super) const OVERHEAD: usize = 1;

/// Splits `secret` into `parts`, of which any `threshold` give it back. `None` unless 2 <= threshold <= parts <= 255.
pub(super) fn split(secret: &[u8], parts: usize, threshold: usize) -> Option<Vec<DataKey>> {
    if threshold < 2 || threshold > parts {
        return None;
    }
    let last = u8::try_from(parts).ok()?;
    let mut random = Zeroizing::new(vec![0; secret.len() * (threshold - 1)]);
    getrandom::fill(&mut random).expect("the system has random bytes");
    Some((1..=last).map(|x| part(secret, &random, threshold - 1, x)).collect())
}

/// The values at `x` of the polynomials whose higher coefficients are in `random`, `degree` for each byte.
fn part(secret: &[u8], random: &[u8], degree: usize, x: u8) -> DataKey {
    let mut part = Zeroizing::new(Vec::with_capacity(secret.len() + OVERHEAD));
    for (&byte, higher) in secret.iter().zip(random.chunks_exact(degree)) {
        part.push(higher.iter().fold(0, |sum, &coefficient| multiply(sum ^ coefficient, x)) ^ byte);
    }
    part.push(x);
    part
}

/// The secret of which these are parts. `None` when they cannot be: fewer than two, of different lengths, or with the same number.
/// Parts of another secret, and too few parts, give a wrong secret.
pub(super) fn combine(parts: &[&DataKey]) -> Option<DataKey> {
    let [first, _, ..] = parts else { return None };
    let length = first.len().checked_sub(OVERHEAD).filter(|length| *length > 0)?;
    if parts.iter().any(|part| part.len() != first.len()) {
        return None;
    }
    let numbers: Vec<u8> = parts.iter().map(|part| part[length]).collect();
    let mut secret = Zeroizing::new(vec![0; length]);
    for (index, part) in parts.iter().enumerate() {
        let x = numbers[index];
        let mut weight = 1;
        for (_, &other) in numbers.iter().enumerate().filter(|(position, _)| *position != index) {
            if other == x || x == 0 {
                return None;
            }
            // Lagrange's factor at 0; minus is plus here.
            weight = multiply(weight, multiply(other, inverse(other ^ x)));
        }
        for (sum, &value) in secret.iter_mut().zip(part.iter()) {
            *sum ^= multiply(weight, value);
        }
    }
    Some(secret)
}

/// The product in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1.
fn multiply(mut a: u8, b: u8) -> u8 {
    let mut product = 0;
    for bit in 0..8 {
        product ^= a & (b >> bit & 1).wrapping_neg();
        a = a << 1 ^ (0x1b & (a >> 7).wrapping_neg());
    }
    product
}

/// The inverse: `a` to the power of 254, which is 2 + 4 + … + 128.
fn inverse(a: u8) -> u8 {
    let mut power = a;
    let mut product = 1;
    for _ in 1..8 {
        power = multiply(power, power);
        product = multiply(product, power);
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_is_that_of_aes() {
        // FIPS 197, section 4.2: {57} x {83} = {c1}, {57} x {13} = {fe}.
        assert_eq!((multiply(0x57, 0x83), multiply(0x57, 0x13)), (0xc1, 0xfe));
        assert!((1..=255).all(|a| multiply(a, inverse(a)) == 1));
    }

    #[test]
    fn a_part_is_what_the_polynomial_gives() {
        // 5 + 7x + 3x²: at 1 it is 5^7^3 = 1, at 2 it is 5^14^12 = 7, at 3 it is 5^9^15 = 3.
        // `random` has the highest coefficient first.
        let parts: Vec<Vec<u8>> = (1..=3).map(|x| part(&[5], &[3, 7], 2, x).to_vec()).collect();
        assert_eq!(parts, [[1, 1], [7, 2], [3, 3]]);
    }

    #[test]
    fn every_threshold_of_every_number_of_parts_gives_it_back() {
        let secret: Vec<u8> = (0..32).map(|byte| byte * 7).collect();
        for number in 2..=8 {
            for threshold in 2..=number {
                let parts = split(&secret, number, threshold).expect("they fit");
                // Every choice of parts, as the bits of a number.
                for choice in 0_usize..1 << number {
                    let chosen: Vec<&DataKey> =
                        parts.iter().enumerate().filter(|(index, _)| choice >> index & 1 == 1).map(|(_, part)| part).collect();
                    let found = combine(&chosen).map(|found| found.to_vec());
                    match chosen.len() {
                        0 | 1 => assert_eq!(found, None),
                        enough if enough >= threshold => assert_eq!(found.as_deref(), Some(&secret[..]), "{number}/{threshold}/{choice:b}"),
                        _ => assert_ne!(found.as_deref(), Some(&secret[..]), "{number}/{threshold}/{choice:b}"),
                    }
                }
            }
        }
        let many = split(&secret, 255, 255).expect("they fit");
        assert_eq!(combine(&many.iter().collect::<Vec<_>>()).map(|found| found.to_vec()), Some(secret));
    }

    #[test]
    fn what_cannot_be_split_or_combined_is_refused() {
        for (parts, threshold) in [(1, 1), (2, 0), (2, 1), (2, 3), (256, 2)] {
            assert!(split(b"secret", parts, threshold).is_none(), "{parts}/{threshold}");
        }
        let part = |bytes: &[u8]| Zeroizing::new(bytes.to_vec());
        let (one, other, short, zero) = (part(&[1, 1]), part(&[2, 1]), part(&[1]), part(&[9, 0]));
        for parts in [vec![&one, &other], vec![&one, &short], vec![&short, &short], vec![&one, &zero], vec![&zero, &one]] {
            assert!(combine(&parts).is_none(), "{parts:?}");
        }
    }
}
