//! The network of an environment, as the old system understood it: the first three numbers of `NETWORK_CIDR`, and always 24 bits.
use std::{fmt, net::Ipv4Addr};

/// A network of 24 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network([u8; 3]);

impl Network {
    /// The network that a range of addresses stands for, and whether the range has 24 bits itself. `None` for what is no range.
    pub fn of(range: &str) -> Option<(Self, bool)> {
        let (address, bits) = range.split_once('/')?;
        let bits: u32 = bits.parse().ok().filter(|bits| (1..=32).contains(bits))?;
        let [one, two, three, _] = address.parse::<Ipv4Addr>().ok()?.octets();
        Some((Self([one, two, three]), bits == 24))
    }

    /// The address of a host, 1 to 254.
    pub fn host(self, last: u8) -> Option<Ipv4Addr> {
        let [one, two, three] = self.0;
        (1..=254).contains(&last).then(|| Ipv4Addr::new(one, two, three, last))
    }

    /// Whether an address is in it.
    pub fn holds(self, address: Ipv4Addr) -> bool {
        address.octets()[..3] == self.0
    }
}

/// `10.10.10.0/24`.
impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [one, two, three] = self.0;
        write!(f, "{one}.{two}.{three}.0/24")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_taken_as_the_old_system_took_it() {
        let of = |range: &str| Network::of(range).map(|(network, exact)| (network.to_string(), exact));
        assert_eq!(of("10.10.10.0/24"), Some(("10.10.10.0/24".into(), true)));
        assert_eq!(of("10.20.0.0/16"), Some(("10.20.0.0/24".into(), false)));
        for wrong in ["10.10.10.0", "10.10.10/24", "10.10.10.300/24", "10.10.10.0/33", "x/24", ""] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
        let (network, _) = Network::of("10.10.10.0/24").unwrap();
        assert_eq!((network.host(7), network.host(0), network.host(255)), (Some(Ipv4Addr::new(10, 10, 10, 7)), None, None));
        assert!(network.holds(Ipv4Addr::new(10, 10, 10, 1)) && !network.holds(Ipv4Addr::new(10, 10, 11, 1)));
    }
}
